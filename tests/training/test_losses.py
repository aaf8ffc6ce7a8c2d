"""A loss of the user's own, in every task, and weights of rows: what is computed is what other libraries compute."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from every_task import TASKS, objects_of, rows_of
from fastai.losses import FocalLossFlat
from running import TINY_BERT, run
from scipy.special import log_softmax
from sklearn.metrics import log_loss
from torch import nn

from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.models.losses import CustomLoss
from blurr.serve.predictor import Predictor
from blurr.text.modeling.all import BlearnerForSequenceClassification, SequenceClassification

SCORES = [1.5, 2.0, 3.5, 0.0]


def learner_of(name: str, tiny_bert, tiny_bart, **settings):
    torch.manual_seed(0)  # for a new head
    raw, hf = objects_of(name, tiny_bert, tiny_bart)
    task = replace(TASKS[name], **settings)
    dls = task.dataloaders(raw, hf, Loader(batch_size=4, cache=False))
    return task.learner(dls, hf, raw=raw, metrics={}), raw, task


def mean_of_logits(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The cross-entropy again, as a plain function that can only return its mean."""
    return -logits.log_softmax(-1).gather(-1, targets[:, None]).mean()


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), mean_of_logits], ids=["of torch", "a function"])
@pytest.mark.parametrize("name", TASKS)
def test_a_cross_entropy_of_ones_own_is_that_of_the_task(name, loss, tiny_bert, tiny_bart):
    found = {}
    for which in ("cross_entropy", loss):
        learner, raw, task = learner_of(name, tiny_bert, tiny_bart, loss=which)
        evaluation = task.evaluate(learner, raw)
        found[which] = evaluation.metrics["loss"], [row["loss"] for row in evaluation.rows]
    assert found[loss][0] == pytest.approx(found["cross_entropy"][0], rel=1e-5)
    assert found[loss][1] == pytest.approx(found["cross_entropy"][1], rel=1e-4)


def test_a_focal_loss_trains_and_is_reported_as_it_is_defined(tiny_bert, tiny_bart):
    learner, raw, task = learner_of("sequence_classification", tiny_bert, tiny_bart, loss=FocalLossFlat(gamma=2.0))
    evaluation = task.evaluate(learner, raw)
    p = np.array([row["probs"][row["target"]] for row in evaluation.rows])
    assert evaluation.metrics["loss"] == pytest.approx(np.mean((1 - p) ** 2 * -np.log(p)), rel=1e-5)
    learner.fit(8, 1e-2)
    assert learner.validate()[0] < evaluation.metrics["loss"]
    assert {item["label"] for item in learner.predict(["good", "bad"])} <= {"up", "down"}


@pytest.mark.parametrize(
    ("labels", "loss", "expected"),
    [
        (SCORES, nn.L1Loss(), lambda out, y: np.abs(out[:, 0] - y).mean()),
        (
            [["a"], ["a", "b"], ["b"], []],
            nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0, 1.0])),
            lambda out, y: (
                -np.mean(
                    y * [3.0, 1.0] * -np.logaddexp(0, -out) + (1 - y) * -np.logaddexp(0, out)  # log of a sigmoid
                )
            ),
        ),
    ],
    ids=["numbers", "several labels"],
)
def test_other_kinds_of_labels_take_losses_of_their_own(labels, loss, expected, tiny_bert):
    rows = [{"text": "good film", "label": label, "is_valid": i > 1} for i, label in enumerate(labels)]
    learner = BlearnerForSequenceClassification.from_data(rows, str(tiny_bert), loss_func=loss, dl_kwargs={"bs": 2})
    logits, targets = learner.get_preds(act=lambda out: out)
    assert learner.validate()[0] == pytest.approx(float(expected(logits.numpy(), targets.numpy())), rel=1e-4)
    assert len(learner.predict("good")) == 1


def test_a_loss_that_is_not_one_number_is_named():
    with pytest.raises(InputError, match=r"task.loss must return one number, the mean; it returned \[3\]"):
        CustomLoss(lambda x, y: x.sum(-1) - y, None)(torch.ones(3, 2), torch.ones(3, dtype=torch.long))


@pytest.mark.parametrize("name", ["sequence_classification", "summarization"])
def test_class_weights_and_smoothing_beside_a_loss_of_ones_own_are_refused(name, tiny_bert, tiny_bart):
    with pytest.raises(InputError, match="settings of task.loss=cross_entropy"):
        learner_of(name, tiny_bert, tiny_bart, loss=FocalLossFlat(), label_smoothing=0.1)


# -- weights of rows

ROWS = [
    {"text": "good film", "label": "up", "w": 0.5, "is_valid": False},
    {"text": "bad plot", "label": "down", "w": 2.0, "is_valid": False},
    {"text": "dull", "label": "up", "w": 0.0, "is_valid": False},
    {"text": "fine", "label": "up", "w": 1.0, "is_valid": False},
]
VALID = [
    {"text": "great", "label": "up", "w": 7.0, "is_valid": True},
    {"text": "poor", "label": "down", "w": 1.0, "is_valid": True},
]


def test_the_loss_of_a_batch_is_the_mean_weighted_by_rows_as_scikit_learn_computes_it(tiny_bert):
    learner = BlearnerForSequenceClassification.from_data(
        ROWS + VALID, str(tiny_bert), weight_attr="w", dl_kwargs={"bs": 4}
    )
    learner.model.eval()
    (inputs, targets) = learner.dls.train.one_batch()
    learner.xb, learner.yb, learner.training = (inputs,), (targets,), True
    learner("before_batch")
    with torch.no_grad():
        logits = learner.model(learner.xb[0]).logits
        loss = learner.loss_func(logits, targets)
    expected = log_loss(targets, np.exp(log_softmax(logits.numpy(), -1)), sample_weight=inputs["row_weight"])
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert sorted(inputs["row_weight"].tolist()) == [0.0, 0.5, 1.0, 2.0]


def test_a_row_of_weight_0_teaches_nothing_and_validation_is_not_weighted(tiny_bert):
    def trained(rows):
        torch.manual_seed(0)
        options = {"dl_kwargs": {"bs": 8, "seed": 1}, "weight_attr": "w"}
        learner = BlearnerForSequenceClassification.from_data(rows + VALID, str(tiny_bert), **options)
        learner.model.hf_model.config.hidden_dropout_prob = 0.0
        for module in learner.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        before = learner.validate()[0]
        learner.fit(1, 1e-2)
        return before, [p.detach().clone() for p in learner.model.parameters()]

    wrong = {"text": "superb", "label": "down", "w": 0.0, "is_valid": False}
    (loss, weights), (other_loss, others) = trained(ROWS), trained([*ROWS, wrong])
    assert loss == pytest.approx(other_loss)
    for one, other in zip(weights, others, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in TASKS if not name.endswith("_lm") and name != "chat"])
def test_every_task_with_a_target_for_each_row_trains_with_weights(name, tiny_bert, tiny_bart):
    _, hf = objects_of(name, tiny_bert, tiny_bart)
    rows = [{**row, "w": str(i % 3)} for i, row in enumerate(rows_of(name))]
    raw = from_data(TASKS[name].schema, rows, columns={"weight": "w"})
    task = TASKS[name]
    learner = task.learner(task.dataloaders(raw, hf, Loader(batch_size=4, cache=False)), hf, raw=raw, metrics={})
    learner.fit(1, 1e-3)
    assert np.isfinite(learner.recorder.values[-1]).all()
    encoded = learner.dls.train.dataset
    rows_of_windows = encoded.columns.get("row", range(len(encoded)))
    assert encoded.columns["row_weight"].tolist() == [raw.train["weight"][int(row)] for row in rows_of_windows]


def test_a_column_that_happens_to_be_called_weight_weighs_nothing(tiny_bert):
    rows = [{**row, "weight": 3} for row in ROWS + VALID]
    learner = BlearnerForSequenceClassification.from_data(rows, str(tiny_bert))
    assert "row_weight" not in learner.dls.train.one_batch()[0]


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        ("heavy", "row 2 .* has the weight 'heavy'"),
        (-1, "has the weight -1"),
        (float("inf"), "weight"),
        (None, "weight"),
    ],
)
def test_a_weight_that_is_none_is_named_with_its_row(weight, said):
    rows = [{"text": "a", "label": "x", "w": 1}, {"text": "b", "label": "y", "w": weight}]
    rows = [{**row, "w": str(row["w"])} for row in rows] if weight == "heavy" else rows
    with pytest.raises(InputError, match=said):
        from_data(SequenceClassification.schema, rows, columns={"weight": "w"})


def test_weights_that_are_all_0_are_refused():
    rows = [{"text": "a", "label": "x", "w": 0}, {"text": "b", "label": "y", "w": 0}]
    with pytest.raises(InputError, match="all weights .* are 0"):
        from_data(SequenceClassification.schema, rows, columns={"weight": "w"})


def test_both_from_the_command_line(work):
    rows = [{"review": f"{'good' if i % 2 else 'bad'} film {i}", "stars": i % 2, "trust": 1 + i % 2} for i in range(24)]
    (work / "r.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["data=files", "data.train=r.jsonl", "data.columns.text=review", "data.columns.label=stars"]
    words += ["data.columns.weight=trust", "task.loss={_target_: fastai.losses.FocalLossFlat, gamma: 2.0}"]
    run(
        work / "out",
        *words,
        *TINY_BERT,
        "tracking=none",
        "schedule.epochs=1",
        "loader.batch_size=8",
        "schedule=constant",
    )
    assert Predictor.load(work / "out").predict("good film")[0]["label"] in ("0", "1")
