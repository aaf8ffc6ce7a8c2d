"""The trained model of a run is shown among MLflow's models, and its weights lie on the disk once."""

from pathlib import Path

import mlflow
import pytest
from mlflow.utils.file_utils import local_file_uri_to_path

from blurr.runs import asides
from blurr.tracking import logged_models
from blurr.tracking.sink import ModelForm
from blurr.tracking.trackers import MLflowTracker, tracked_run

FORM = ModelForm({"text": "a"}, [], {"top_k": int})


def train(uri: str, folder: Path, experiment: str) -> str:
    tracker = MLflowTracker(uri=uri, experiment=experiment, run_name="auto")
    tags = {"name": "Mini.LM reviews", "differs": "lr=1e-4"}
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags=tags) as run:
        (folder / "model" / "part").mkdir(parents=True)
        (folder / "model" / "model.safetensors").write_bytes(b"w" * 1000)
        (folder / "model" / "part" / "vocab.txt").write_text("a")
        run.model(folder / "model", FORM)
        (folder / "model" / "README.md").write_text("card")
        run.artifact(folder / "model" / "README.md", "model")
    return str(run.id)


def no_link(*_: object) -> None:
    raise OSError("no links")


def files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("links", [True, False], ids=["links", "a file system without links"])
def test_a_run_has_a_logged_model_with_signature_and_the_files_of_its_model(
    client, store_uri, tmp_path, monkeypatch, links
):
    if not links:
        monkeypatch.setattr(asides.os, "link", no_link)
    run = client.get_run(train(store_uri, tmp_path / "out", f"models {links}"))
    (output,) = run.outputs.model_outputs
    made = client.get_logged_model(output.model_id)
    assert (made.name, str(made.status), made.source_run_id) == ("Mini-LM reviews", "READY", run.info.run_id)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    assert files(Path(mlflow.artifacts.download_artifacts(f"models:/{made.model_id}")))
    there = files(Path(local_file_uri_to_path(made.artifact_location)))
    ours = files(Path(local_file_uri_to_path(run.info.artifact_uri)) / "model")
    assert {"model.safetensors", "part/vocab.txt", "README.md", "MLmodel"} <= set(ours)
    assert set(ours) <= set(there)
    assert all(ours[name].samefile(there[name]) == links for name in ours if name != "MLmodel")
    written = files(tmp_path / "out" / "model")
    assert set(written) == set(ours)
    assert all(ours[name].read_bytes() == written[name].read_bytes() for name in ours)
    shared = [name for name in ours if ours[name].samefile(written[name])]
    assert shared == (["model.safetensors"] if links else [])
    info = mlflow.models.get_model_info(f"models:/{made.model_id}")
    assert info.signature.inputs.input_names() == ["text"]
    assert [each.path for each in client.list_artifacts(run.info.run_id) if each.path == "model"] == ["model"]


def test_a_run_that_is_resumed_has_its_logged_model_once(client, store_uri, tmp_path):
    run_id = train(store_uri, tmp_path / "out", "models once")
    weights = tmp_path / "out" / "model" / "model.safetensors"
    weights.with_suffix(".new").write_bytes(b"v" * 1000)
    weights.with_suffix(".new").replace(weights)
    logged_models.add_model(client, run_id, tmp_path / "out" / "model")
    logged_models.log_model(client, run_id, "model")
    run = client.get_run(run_id)
    (output,) = run.outputs.model_outputs
    for place in (
        Path(local_file_uri_to_path(client.get_logged_model(output.model_id).artifact_location)),
        Path(local_file_uri_to_path(run.info.artifact_uri)) / "model",
    ):
        assert (place / weights.name).samefile(weights)
        assert (place / weights.name).read_bytes() == b"v" * 1000


def test_a_store_whose_artifacts_lie_elsewhere_gets_no_second_copy(client, store_uri, monkeypatch, tmp_path):
    monkeypatch.setattr(logged_models, "is_local_uri", lambda uri: False)
    run = client.get_run(train(store_uri, tmp_path / "out", "models elsewhere"))
    assert not run.outputs.model_outputs
