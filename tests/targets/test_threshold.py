"""The threshold of several labels: searched on held-out training rows, used everywhere, and kept with the model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from fastai.learner import load_learner
from sklearn.metrics import f1_score
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig

from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.errors import InputError
from blurr.targets.labels import around_threshold, best_threshold, threshold_of
from blurr.text.sequence_classification.task import BlearnerForSequenceClassification, SequenceClassification
from blurr.training.learner import Blearner

# load_learner unpickles, and says so: the file is our own.
pytestmark = pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle")
TEXT = "the film was good and it is a plot"


def rows(wrong: bool = False) -> list[dict[str, Any]]:
    """Sixty rows of one or two labels of three; the last ten validate, where `wrong` with other labels."""
    words = ["good", "bad", "plot"]
    texts = [" ".join(["the film was", words[i % 3], words[i // 3 % 3], *["."] * (i // 9)]) for i in range(60)]
    labels = [sorted({words[i % 3], words[i // 3 % 3]}) for i in range(60)]
    return [
        {"text": text, "label": ["plot"] if wrong and i >= 50 else label, "is_valid": i >= 50}
        for i, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]


def learner(checkpoint: Path, *, threshold: Any = "auto", wrong: bool = False) -> Blearner:
    torch.manual_seed(0)
    learn = BlearnerForSequenceClassification.from_data(
        rows(wrong), checkpoint, threshold=threshold, dl_kwargs={"bs": 8}
    )
    learn.unfreeze()
    return learn


@pytest.fixture(scope="module")
def trained(tiny_bert: Path) -> Blearner:
    learn = learner(tiny_bert)
    with learn.no_bar(), learn.no_logging():
        learn.fit(3, 1e-3)
    return learn


# -- the search


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [1, 4], ids=["ties", "few ties"])
def test_no_other_threshold_has_a_higher_micro_f1(seed: int, decimals: int):
    made = torch.Generator().manual_seed(seed)
    targets = (torch.rand(40, 5, generator=made) < 0.2).float()
    probabilities = (torch.rand(40, 5, generator=made) * 0.6 + targets * 0.3).round(decimals=decimals)

    def score(threshold: float) -> float:
        predicted = probabilities >= threshold
        return float(f1_score(targets.int(), predicted.int(), average="micro", zero_division=0))

    others = max(score(float(p)) for p in probabilities.unique())
    assert score(best_threshold(probabilities, targets)) == pytest.approx(others)


def test_without_a_true_label_the_threshold_is_a_half():
    assert best_threshold(torch.rand(4, 2), torch.zeros(4, 2)) == 0.5


def test_logits_are_moved_so_that_zero_is_the_threshold():
    logits = torch.logit(torch.tensor([[0.19, 0.21]]))
    assert (around_threshold(logits, BertConfig(label_threshold=0.2)) > 0).tolist() == [[False, True]]


# -- the rows it is searched on


def test_a_tenth_of_the_training_rows_is_set_aside(tiny_bert: Path):
    raw = from_data(SequenceClassification.schema, rows())
    held = SequenceClassification(threshold="auto").prepare(raw)
    assert {name: len(part) for name, part in held.ordered_splits.items()} == {"train": 45, "valid": 10, "tune": 5}
    assert sorted([*held.train["text"], *held.splits["tune"]["text"]]) == sorted(raw.train["text"])
    assert held.valid["text"][:] == raw.valid["text"][:]


def test_a_label_of_a_row_set_aside_alone_stays_a_label():
    def labels_of(data: list[dict[str, Any]]) -> tuple[RawData, dict[str, Any]]:
        task = SequenceClassification(threshold="auto")
        held = task.prepare(from_data(task.schema, data))
        return held, task.target.model_config(held)

    held, _ = labels_of(rows())
    rare = held.splits["tune"]["text"][0]
    data = [{**row, "label": [*row["label"], "rare"]} if row["text"] == rare else row for row in rows()]
    held, config = labels_of(data)
    assert not any("rare" in label for label in held.train["label"])
    assert "rare" in config["label2id"]


def test_nothing_is_set_aside_where_it_is_not_asked_for():
    raw = from_data(SequenceClassification.schema, rows())
    assert SequenceClassification().prepare(raw) is raw


def test_validation_rows_have_no_say_and_the_search_is_deterministic(trained: Blearner, tiny_bert: Path):
    learn = learner(tiny_bert, wrong=True)
    with learn.no_bar(), learn.no_logging():
        learn.fit(3, 1e-3)
    assert threshold_of(learn.model.hf_model.config) == threshold_of(trained.model.hf_model.config)


# -- its use


def test_the_value_found_is_shown_and_used(trained: Blearner):
    found = threshold_of(trained.model.hf_model.config)
    assert 0 < found < 1
    assert found != 0.5
    assert trained.recorder.metric_names[-2:] == ["threshold", "time"]
    assert trained.recorder.values[-1][-1] == pytest.approx(found)
    assert trained.loss_func.thresh == found
    (result,) = trained.predict(TEXT)
    assert result["class_indices"] == [i for i, p in enumerate(result["probs"]) if p >= found]


def test_metrics_and_described_rows_follow_the_threshold(tiny_bert: Path):
    task = SequenceClassification(threshold=0.01)
    learn = learner(tiny_bert, threshold=0.01)
    raw = from_data(task.schema, rows())
    result = task.evaluate(learn, raw)
    assert all(len(row["prediction"]) == 3 for row in result.rows)  # every label is above a hundredth
    labels = sum(len(row["label"]) for row in raw.valid)
    assert result.metrics["f1"] == pytest.approx(2 * labels / (labels + 30))


def test_a_call_may_ask_for_another_threshold(trained: Blearner):
    assert trained.predict(TEXT, threshold=0.0)[0]["class_indices"] == [0, 1, 2]


# -- with the model


def test_an_export_and_a_saved_model_hold_it(trained: Blearner, tmp_path: Path):
    found, before = threshold_of(trained.model.hf_model.config), trained.predict(TEXT)
    trained.export(tmp_path / "labels.pkl")
    assert load_learner(tmp_path / "labels.pkl").predict(TEXT) == before
    trained.model.hf_model.save_pretrained(tmp_path / "model")
    assert threshold_of(AutoConfig.from_pretrained(tmp_path / "model")) == found
    assert threshold_of(AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").config) == found


def test_a_loaded_learner_keeps_it_when_it_validates(trained: Blearner, tmp_path: Path):
    trained.export(tmp_path / "labels.pkl")
    again = load_learner(tmp_path / "labels.pkl")
    with again.no_bar():
        again.validate(dl=trained.dls.valid)
    assert threshold_of(again.model.hf_model.config) == threshold_of(trained.model.hf_model.config)


@pytest.mark.parametrize("threshold", ["auto", 0.3])
def test_it_is_refused_where_a_row_has_one_class(threshold: Any, tiny_bert: Path):
    data = [{**row, "label": row["label"][0]} for row in rows()]
    with pytest.raises(
        InputError, match=rf"^threshold=\"?{threshold}\"? is for several labels; these labels are single"
    ):
        BlearnerForSequenceClassification.from_data(data, tiny_bert, threshold=threshold)
