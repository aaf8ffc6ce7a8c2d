"""The folder of a trained model predicts what the learner predicts that has trained it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from every_task import ITEMS, TASKS, items_of, learner_of, save_model

from blurr.errors import InputError
from blurr.runs.journal import Journal
from blurr.serve.model_folder import model_folder
from blurr.serve.predictor import Predictor
from blurr.tasks.base import Task
from blurr.tasks.saved import FILE, SavedTask, load_task, save_task
from blurr.text.modeling.all import MaskedLM, QuestionAnswering, SequenceClassification, TokenClassification


def same(found: Any, expected: Any) -> bool:
    """Compare results: numbers may differ in what the padding of another batch changes."""
    if isinstance(expected, float):
        return found == pytest.approx(expected, abs=1e-5)
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return found == expected


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_predictor_gives_the_answers_of_the_learner(name: str, saved):
    learn, folder = saved(name)
    items = items_of(name, 100 if name == "sequence_classification" else 12)
    assert same(Predictor.load(folder, batch_size=5, device="cpu").predict(items), learn.predict(items))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sequence_classification", {"threshold": 0.3}),
        ("token_classification", {"aggregation_strategy": "average"}),
        ("question_answering", {"top_k": 3, "max_answer_length": 2}),
        ("summarization", {"num_beams": 2, "num_return_sequences": 2}),
        ("summarization", {"max_length": 3}),
        ("translation", {"max_new_tokens": 2}),
        ("causal_lm", {"max_new_tokens": 2}),
        ("causal_lm", {"max_length": 28}),
        ("causal_lm", {"do_sample": True, "temperature": 5.0, "seed": 3}),
        ("masked_lm", {"n_preds": 3}),
    ],
)
def test_a_predictor_takes_the_options_of_the_learner(name: str, options: dict[str, Any], saved):
    learn, folder = saved(name)
    items, predictor = items_of(name, 3), Predictor.load(folder)
    predictor.check_options(options)
    assert same(predictor.predict(items, **options), learn.predict(items, **options))
    with pytest.raises(InputError, match="There is no option 'tpo_k'"):
        predictor.check_options({"tpo_k": 3})


@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_example_of_a_task_can_be_predicted_on(name: str, saved):
    predictor = Predictor.load(saved(name)[1])
    assert set(predictor.example) <= set(predictor.roles)
    if name != "masked_lm":  # whose text is longer than the tiny model reads
        assert len(predictor.predict(predictor.example)) == 1
    else:
        assert "<mask>" in predictor.example["text"]


def test_a_predictor_takes_what_a_learner_takes(saved):
    learn, folder = saved("sequence_classification")
    predictor = Predictor.load(folder)
    texts = ["the film was good", "the plot was bad and dull"]
    expected = learn.predict(texts)
    for items in (pd.Series(texts), pd.DataFrame({"text": texts}), [{"text": text} for text in texts]):
        assert same(predictor.predict(items), expected)
    assert same(predictor.predict(texts[0]), expected[:1])
    assert predictor.predict([]) == []
    assert not predictor.learner.model.training


@pytest.mark.parametrize("name", ["question_answering", "masked_lm", "summarization"])
def test_a_bad_item_gives_its_mistake_in_its_place_and_the_others_their_results(name: str, saved):
    learn, folder = saved(name)
    good = items_of(name, 4)
    bad: list[Any] = [{"other": 1}, None]
    results = Predictor.load(folder).predict_each([good[0], bad[0], *good[1:3], bad[1], good[3]])
    assert [type(result) for result in results] == [dict, InputError, dict, dict, InputError, dict]
    assert same([r for r in results if isinstance(r, dict)], learn.predict(good))


class TestSettled:
    """What training has decided stands in the file, so that nothing is asked of training rows."""

    def reloaded(self, learn: Any, task: Task, folder: Path) -> Any:
        return Predictor.load(save_model(learn, task, folder / "model"))

    def test_whether_a_question_may_have_no_answer(self, saved, tmp_path: Path):
        learn, _ = saved("question_answering")
        learn.spans, before = replace(learn.spans, no_answer=True, no_answer_threshold=-3.5), learn.spans
        try:
            predictor = self.reloaded(learn, QuestionAnswering(max_length=12, stride=3), tmp_path)
            assert predictor.saved.task.no_answer is True
            assert predictor.learner.spans == learn.spans
            assert same(
                predictor.predict(items_of("question_answering", 5)), learn.predict(items_of("question_answering", 5))
            )
        finally:
            learn.spans = before

    def test_the_threshold_of_several_labels(self, tiny_bert: Path, tiny_bart: Path, tmp_path: Path, monkeypatch):
        rows = [
            {"text": f"the film was {word}", "label": [word[:1]], "is_valid": i > 5}
            for i, word in enumerate(["good", "bad"] * 5)
        ]
        monkeypatch.setattr("every_task.rows_of", lambda name: rows)
        learn, _ = learner_of("sequence_classification", tiny_bert, tiny_bart)
        learn.model.hf_model.config.label_threshold = 0.4321
        predictor = self.reloaded(learn, SequenceClassification(threshold="auto"), tmp_path)
        expected = SequenceClassification(kind="multilabel", labels_are="names", threshold=0.4321)
        assert predictor.saved.task == expected
        assert same(predictor.predict(ITEMS.get("", "it is bad")), learn.predict("it is bad"))

    def test_the_weights_of_the_classes(self, tiny_bert: Path, tiny_bart: Path, tmp_path: Path, monkeypatch):
        task = SequenceClassification(class_weights="balanced")
        monkeypatch.setitem(TASKS, "sequence_classification", task)
        learn, _ = learner_of("sequence_classification", tiny_bert, tiny_bart)
        predictor = self.reloaded(learn, task, tmp_path)
        assert predictor.saved.task.kind == "multiclass"
        assert predictor.learner.loss_func.func.weight.tolist() == learn.loss_func.func.weight.tolist()


class TestFile:
    """`blurr.json` holds plain values, and is read with suspicion."""

    def test_what_is_kept_comes_back(self, tmp_path: Path):
        given = SavedTask(
            TokenClassification(labeling="bi", stride=3), {"tokens": "words"}, {"data": "files"}, {"f1": {"a": 1}}
        )
        save_task(tmp_path, given)
        assert load_task(tmp_path) == given

    def test_a_function_is_left_out_with_a_warning(self, tmp_path: Path, caplog):
        save_task(tmp_path, SavedTask(MaskedLM(objective=print, mask_prob=0.3)))
        assert load_task(tmp_path).task == MaskedLM(mask_prob=0.3)
        assert "cannot hold functions: ['objective']" in caplog.text

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "is not the file that a run of blurr leaves"),
            ("[]", "is not the file that a run of blurr leaves"),
            ('{"task": {}, "columns": {}, "choices": {}, "metrics": {}}', "task._target_ is '{}': Field required"),
        ],
    )
    def test_an_unreadable_file_is_refused(self, text: str, message: str, tmp_path: Path):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(InputError, match=message):
            load_task(tmp_path)

    @pytest.mark.parametrize(
        "target",
        ["os.system", "blurr.tasks.notebook.from_data", "blurr.text.seq2seq.summarization.BlearnerForSummarization"],
    )
    def test_a_file_cannot_say_which_code_runs(self, target: str, tmp_path: Path):
        save_task(tmp_path, SavedTask(MaskedLM()))
        parts = json.loads((tmp_path / FILE).read_text())
        (tmp_path / FILE).write_text(json.dumps({**parts, "task": {"_target_": target, "command": "true"}}))
        with pytest.raises(InputError, match="which is not one of blurr's"):
            load_task(tmp_path)

    def test_a_wrong_setting_is_named(self, tmp_path: Path):
        save_task(tmp_path, SavedTask(MaskedLM()))
        (tmp_path / FILE).write_text((tmp_path / FILE).read_text().replace('"mask_prob": 0.15', '"mask_prob": 7'))
        with pytest.raises(InputError, match="task.mask_prob=7: must be"):
            load_task(tmp_path)


class TestPlaces:
    def test_a_run_and_its_model_are_the_same_place(self, saved):
        _, folder = saved("causal_lm")
        assert model_folder(folder) == model_folder(folder.parent) == folder

    def test_a_run_is_found_by_its_identity(self, work: Path):
        run = work / "outputs" / "any" / "day"
        (run / "model").mkdir(parents=True)
        Journal(identity="it").write(run)
        for name, text in (("overrides.yaml", "[]"), (f"model/{FILE}", "{}")):
            (run / name).write_text(text)
        assert model_folder("it") == run / "model"

    def test_a_folder_without_a_model_is_named(self, tmp_path: Path):
        with pytest.raises(InputError, match="holds no trained model"):
            model_folder(tmp_path)

    def test_a_place_that_is_not_there_is_named(self):
        with pytest.raises(InputError, match="There is no folder outputs/nowhere"):
            model_folder("outputs/nowhere")

    def test_a_store_that_is_not_there_is_named(self, work: Path):
        with pytest.raises(InputError, match="mlflow.db, which does not exist"):
            model_folder("a" * 32)

    def test_mlflow_gives_the_model_of_a_run_and_of_the_registry(
        self, saved, store_uri: str, client, work: Path, monkeypatch
    ):
        _, folder = saved("causal_lm")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
        run = client.create_run(client.get_experiment_by_name("blurr").experiment_id)
        client.log_artifacts(run.info.run_id, str(folder), "model")
        client.create_registered_model("writer")
        version = client.create_model_version("writer", f"{run.info.artifact_uri}/model", run.info.run_id)
        client.set_registered_model_alias("writer", "best", version.version)
        for place in (run.info.run_id, f"runs:/{run.info.run_id}/model", "models:/writer/1", "models:/writer@best"):
            assert load_task(model_folder(place)) == load_task(folder)
        for place, message in (
            ("models:/writer", "names no version"),
            ("models:/writer@worst", "cannot give models:/writer@worst"),
            ("b" * 32, "cannot give runs:/bbb"),
        ):
            with pytest.raises(InputError, match=message):
                model_folder(place)

    def test_mlflow_may_keep_a_model_that_is_none_of_blurrs(self, tmp_path: Path, store_uri: str, client, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
        (tmp_path / "model.txt").write_text("a model")
        run = client.create_run(client.get_experiment_by_name("blurr").experiment_id)
        client.log_artifact(run.info.run_id, str(tmp_path / "model.txt"), "model")
        with pytest.raises(InputError, match=f"has no file {FILE}"):
            model_folder(run.info.run_id)


def test_a_head_that_does_not_fit_is_no_model(saved, tmp_path: Path):
    folder = Path(shutil.copytree(saved("sequence_classification")[1], tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    names = ["a", "b", "c"]
    config |= {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="Cannot load a model from"):
        Predictor.load(folder)


@pytest.mark.parametrize("name", sorted(TASKS.keys() - {"chat"}))  # see tests/text/test_chat
def test_half_of_a_surrogate_pair_is_the_mistake_of_its_item_alone(name: str, saved):
    predictor = Predictor.load(saved(name)[1])
    example = predictor.example
    bad = {role: ["\ud800"] if isinstance(text, list) else f"\ud800{text}" for role, text in example.items()}
    good, wrong, last = predictor.predict_each([example, bad, example])
    assert isinstance(wrong, InputError)
    assert "is not Unicode: it holds half of a surrogate pair" in str(wrong)
    assert not isinstance(good, Exception)
    assert not isinstance(last, Exception)


def test_whatever_an_item_causes_is_its_result_and_is_logged_once(saved, monkeypatch, caplog):
    predictor = Predictor.load(saved("sequence_classification")[1])
    monkeypatch.setattr(predictor, "predict", lambda items, **options: [1 / float(item) for item in items])
    found = predictor.predict_each(["1", "0", "2", "0", "4", "much"])
    assert [each for each in found if not isinstance(each, Exception)] == [1.0, 0.5, 0.25]
    assert [type(found[index]) for index in (1, 3, 5)] == [ZeroDivisionError, ZeroDivisionError, ValueError]
    (logged,) = caplog.records
    assert logged.getMessage() == "3 of 6 items failed, the first as follows"
    assert logged.exc_info[0] is ZeroDivisionError


def test_a_batch_that_the_memory_does_not_hold_is_halved(saved, monkeypatch):
    predictor = Predictor.load(saved("sequence_classification")[1])

    def small(items: list[Any], **options: Any) -> list[Any]:
        if len(items) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return items

    monkeypatch.setattr(predictor, "predict", small)
    assert predictor.predict_each(list("abcdefg")) == list("abcdefg")
