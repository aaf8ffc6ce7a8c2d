"""A trained model leaves blurr in other forms, and answers there as it did before."""

import json
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from every_task import TASKS, items_of
from fastai.learner import load_learner
from transformers import AutoModelForSequenceClassification

from blurr import cli
from blurr.config import composing
from blurr.errors import InputError, ResourceError
from blurr.runs.checksums import SEAL
from blurr.serve import graphs
from blurr.serve.exporting import LEARNER, export
from blurr.serve.parity import parity
from blurr.serve.predictor import Predictor

# onnxscript's and torch's own, while they trace
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
OTHERS = sorted(set(TASKS) - {"sequence_classification"})


def check_parity(folder: Path, into: Path) -> Predictor:
    predictor = Predictor.load(folder, device="cpu")
    export(predictor, into, form="onnx")
    other = Predictor.load(into)
    found = parity(predictor, other)
    assert found.rows == 100
    assert found.difference < 1e-3
    assert found.alike == 100
    return other


def assert_alike(found: Any, expected: Any) -> None:
    """The same answers, whose scores may differ as the logits may."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert_alike(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    else:
        assert found == (pytest.approx(expected, abs=1e-3) if isinstance(expected, float) else expected)


@pytest.fixture(scope="module")
def exported(saved, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "onnx"
    check_parity(saved("sequence_classification")[1], folder)
    return folder


@pytest.mark.slow
def test_a_model_in_onnx_answers_as_it_did_on_a_hundred_rows(saved, exported: Path):
    learn, _ = saved("sequence_classification")
    items = items_of("sequence_classification", 7)
    found, expected = Predictor.load(exported, batch_size=3).predict(items), learn.predict(items)
    assert [each["label"] for each in found] == [each["label"] for each in expected]
    assert Predictor.load(exported).predict(items[0])[0]["score"] == pytest.approx(expected[0]["score"], abs=1e-5)
    assert not [file for file in exported.iterdir() if file.suffix in (".pkl", ".bin", ".safetensors")]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "causal_lm" else pytest.mark.slow) for name in OTHERS]
)
def test_a_model_of_each_task_answers_in_onnx_as_it_did_on_a_hundred_rows(name: str, saved, tmp_path: Path):
    learn, folder = saved(name)
    other = check_parity(folder, tmp_path / "onnx")
    options: dict[str, Any] = {"num_beams": 3, "max_new_tokens": 6} if "num_beams" in other.options else {}
    items = items_of(name, 5)
    for each, wished in ((items, options), (items[:1], {}), (items[:1], options)):
        found, expected = other.predict(each, **wished), learn.predict(each, **wished)
        assert_alike(found, expected)


@pytest.mark.slow
def test_pads_before_a_prompt_are_not_read(saved, tmp_path: Path):
    predictor = Predictor.load(saved("causal_lm")[1], device="cpu")
    export(predictor, tmp_path / "onnx", form="onnx")
    ids = torch.arange(5, 21).reshape(2, 8)
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    given = {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
    models = (predictor.hf.model, Predictor.load(tmp_path / "onnx").hf.model)
    with torch.inference_mode():
        found, expected = (model(**given).logits[mask.bool()] for model in models)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sequence_classification", "summarization", "causal_lm"])
def test_a_quantized_model_is_smaller_and_still_near(name: str, saved, exported: Path, tmp_path: Path):
    predictor = Predictor.load(saved(name)[1], device="cpu")
    export(predictor, tmp_path / "int8", form="onnx", quantize=True)
    assert parity(predictor, Predictor.load(tmp_path / "int8"), rows=20).difference < 0.1
    if name == "sequence_classification":
        sizes = [
            sum(file.stat().st_size for file in folder.glob("*.onnx*")) for folder in (tmp_path / "int8", exported)
        ]
        assert sizes[0] < sizes[1]


def test_a_folder_for_transformers_is_read_by_transformers_and_by_blurr(saved, tmp_path: Path):
    learn, folder = saved("sequence_classification")
    source = Path(shutil.copytree(folder, tmp_path / "model"))
    (source / "README.md").write_text("a card")
    export(Predictor.load(source), tmp_path / "new", form="transformers")
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "new")
    assert (tmp_path / "new" / "README.md").read_text() == "a card"
    items = items_of("sequence_classification", 3)
    assert json.dumps(Predictor.load(tmp_path / "new").predict(items)) == json.dumps(learn.predict(items, bs=32))


def test_a_fastai_export_is_loaded_by_fastai(saved, tmp_path: Path):
    learn, folder = saved("sequence_classification")
    export(Predictor.load(folder, device="cpu"), tmp_path / "new", form="fastai")
    loaded = load_learner(tmp_path / "new" / LEARNER)
    items = items_of("sequence_classification", 3)
    assert json.dumps(loaded.predict(items)) == json.dumps(learn.predict(items, bs=32))


class TestRefusals:
    def test_a_folder_with_files_is_left_alone(self, saved, tmp_path: Path):
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(InputError, match="is there already, and not empty"):
            export(Predictor.load(saved("sequence_classification")[1]), tmp_path, form="transformers")

    def test_only_onnx_is_quantized(self, saved, tmp_path: Path):
        with pytest.raises(InputError, match="--quantize is for --format onnx, and not for fastai"):
            export(Predictor.load(saved("sequence_classification")[1]), tmp_path, form="fastai", quantize=True)

    def test_an_export_has_no_weights_to_export(self, exported: Path, tmp_path: Path):
        with pytest.raises(InputError, match="is an export itself, without weights"):
            export(Predictor.load(exported), tmp_path / "again", form="transformers")

    @pytest.mark.parametrize("name", ["model.onnx", "export.json", "config.json"])
    def test_a_broken_export_is_named(self, name: str, exported: Path, tmp_path: Path):
        broken = Path(shutil.copytree(exported, tmp_path / "broken"))
        (broken / name).write_text("{" if name.endswith("json") else "nothing")
        with pytest.raises(InputError, match=rf"{name} is not as it was written"):
            Predictor.load(broken)
        (broken / SEAL).unlink()  # as an earlier blurr left it
        with pytest.raises(InputError, match="Cannot load the ONNX model of .*broken: .* Export it again"):
            Predictor.load(broken)

    def test_a_library_that_is_not_there_is_named(self, monkeypatch, exported: Path):
        monkeypatch.setattr(graphs, "PACKAGES", ("onnx", "onyx"))
        with pytest.raises(InputError, match=r"ONNX needs onyx. .*pip install 'blurr-transformers\[onnx\]'"):
            Predictor.load(exported)

    def test_what_transformers_cannot_export_is_said(self, saved, tmp_path: Path):
        predictor = Predictor.load(saved("sequence_classification")[1], device="cpu")
        with pytest.raises(InputError, match="transformers cannot export BertForSequenceClassification to ONNX"):
            graphs.export_graphs(predictor.hf.model, {}, tmp_path / "new")


@pytest.mark.slow
def test_the_command_says_how_far_the_export_is_from_the_model(saved, work: Path, monkeypatch, capsys):
    monkeypatch.setattr(composing, "prepare_process", lambda: None)
    folder = saved("sequence_classification")[1]
    arguments = cli.commands().parser.parse_args(["export", str(folder), "--output", "new"])
    assert arguments.command(arguments) == 0
    out = capsys.readouterr().out
    assert "100 generated rows: logits differ by at most" in out
    assert "100 answers are alike\noutputs  new\n" in out


def test_an_export_that_the_disk_does_not_hold_leaves_nothing_behind(saved, tmp_path: Path):
    _, folder = saved("sequence_classification")
    predictor = Predictor.load(folder, device="cpu")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        with pytest.raises(ResourceError, match=r"new cannot be written: .*Make room"):
            export(predictor, tmp_path / "new", form="transformers")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "new").exists()
    export(predictor, tmp_path / "new", form="transformers")
    assert (tmp_path / "new" / "config.json").is_file()
