"""A Blearner takes everything that fastai's Learner does: each public method of Learner, on each task."""

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import fastai.distributed  # noqa: F401  gives Learner its methods for several devices
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from every_task import ITEMS, SHORT, rows_of
from fastai import interpret
from fastai.callback.core import Callback, FetchPredsCallback
from fastai.learner import Learner, load_learner

from blurr.errors import InputError
from blurr.text.modeling.all import (
    BlearnerForLM,
    BlearnerForQuestionAnswering,
    BlearnerForSequenceClassification,
    BlearnerForSummarization,
    BlearnerForTokenClassification,
    BlearnerForTranslation,
    ClassificationInterpretation,
    Interpretation,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle"),
    pytest.mark.filterwarnings("ignore:.*is ill-defined"),  # a class that is never predicted
]
mpl.use("agg")
FROM_DATA: dict[str, tuple[Any, dict[str, Any]]] = {
    "sequence_classification": (BlearnerForSequenceClassification, {}),
    "token_classification": (BlearnerForTokenClassification, {"max_length": 9, "stride": 2}),
    "question_answering": (BlearnerForQuestionAnswering, {"max_length": 12, "stride": 3}),
    "summarization": (BlearnerForSummarization, {"text_gen_kwargs": SHORT}),
    "translation": (BlearnerForTranslation, {"text_gen_kwargs": SHORT}),
    "causal_lm": (BlearnerForLM, {"chunk": False, "task_kwargs": {"generation": SHORT}}),
    "masked_lm": (BlearnerForLM, {"chunk": False, "lm_type": "masked"}),
}


@pytest.fixture(scope="module", params=sorted(FROM_DATA))
def made(request, tiny_bert: Path, tiny_bart: Path, tmp_path_factory):
    learner_cls, options = FROM_DATA[request.param]
    checkpoint = tiny_bart if learner_cls in (BlearnerForSummarization, BlearnerForTranslation) else tiny_bert
    learn = learner_cls.from_data(
        rows_of(request.param),
        checkpoint,
        dl_kwargs={"bs": 4},
        learner_kwargs={"path": tmp_path_factory.mktemp(request.param)},
        **options,
    )
    learn.remove_cbs([learn.progress])
    return request.param, learn


class Steps(Callback):
    def __init__(self):
        self.taken = 0

    def after_step(self):
        self.taken += 1


def item_of(name: str) -> Any:
    item = ITEMS.get(name, "the film was good")
    return tuple(item) if isinstance(item, list) else item


def weights(learn: Learner) -> list[torch.Tensor]:
    return [p.detach().clone() for p in learn.model.parameters()]


def trains(learn: Learner, fit: Callable[[Any], Any], epochs: int) -> None:
    steps, before = Steps(), weights(learn)
    learn.unfreeze()
    with learn.no_logging():
        fit(steps)
    assert steps.taken == epochs * len(learn.dls.train)
    assert len(learn.recorder.values) == epochs
    assert any((a != b).any() for a, b in zip(before, weights(learn), strict=True))


def takes_callbacks(learn: Learner, name: str) -> None:
    seen = Steps()
    before = len(learn.cbs)
    learn.add_cb(seen)
    assert learn.steps is seen
    learn.remove_cb(seen)
    learn.add_cbs([Steps, Steps()])
    learn.remove_cbs([Steps])
    with learn.added_cbs(Steps()):
        assert len(learn.cbs) == before + 1
    with learn.removed_cbs(learn.recorder):
        assert len(learn.cbs) == before - 1
    assert len(learn.cbs) == before
    assert learn.ordered_cbs("after_batch")


def runs_batches(learn: Learner, name: str) -> None:
    learn.validate()  # prepares the metrics
    learn.dl = learn.dls.valid
    batch = learn.dls.valid.one_batch()
    learn.one_batch(0, batch)
    assert torch.isfinite(learn.loss)
    assert set(learn.x) >= {"input_ids"}
    assert len(learn.y) == len(batch[1])
    with torch.no_grad():
        learn.all_batches()


def exports(learn: Learner, name: str) -> None:
    item = item_of(name)
    learn.export("whole.pkl")
    assert load_learner(learn.path / "whole.pkl").predict(item) == learn.predict(item)


def predicts_all(learn: Learner, name: str) -> None:
    n = len(learn.dls.valid_ds)
    assert len(learn.get_preds(0)[0]) == len(learn.dls.train_ds)
    inputs, preds, targets, classes, losses = learn.get_preds(1, None, True, True, True)
    assert [len(part) for part in (inputs["input_ids"], preds, targets, classes, losses)] == [n] * 5
    assert learn.get_preds(with_preds=False, with_targs=False) == (None, None)
    raw = learn.get_preds(act=lambda logits: logits)[0]
    assert torch.equal(learn.loss_func.activation(raw), preds)
    unordered = learn.get_preds(reorder=False, with_loss=True)
    assert torch.allclose(unordered[-1].sort()[0], losses.sort()[0])
    seen = Steps()
    folder = learn.path / "saved"
    folder.mkdir(exist_ok=True)
    learn.get_preds(cbs=seen, save_preds=folder, save_targs=folder, pickle_protocol=3)
    assert (folder / "0").is_file()
    assert not hasattr(learn, "steps")
    assert learn.get_preds(dl=[learn.dls.valid.one_batch()], concat_dim=0)[0].ndim == preds.ndim
    with learn:
        assert len(learn.get_preds(inner=True)[0]) == n


def sums_up(learn: Learner, name: str) -> None:
    text = str(learn.summary())
    assert "Total params" in text
    assert "Callbacks" in text


def shows_results(learn: Learner, name: str) -> None:
    assert len(learn.show_results(max_n=2, show=False)) == 2
    assert learn.show_results(0, max_n=2, shuffle=True, show=False)
    assert learn.show_results(1, learn.dls.valid, 2, show=False)


def finds_a_rate(learn: Learner, name: str) -> None:
    before = weights(learn)
    found = learn.lr_find(num_it=8, show_plot=True)
    assert 0 < found.valley < 10
    assert all(torch.equal(a, b) for a, b in zip(before, weights(learn), strict=True))
    learn.recorder.plot_lr_find()
    plt.close("all")


def freezes(learn: Learner, name: str) -> None:
    trained = []
    for freeze in (learn.freeze, lambda: learn.freeze_to(-2), learn.unfreeze):
        freeze()
        trained.append(sum(p.numel() for p in learn.model.parameters() if p.requires_grad))
    assert trained[0] < trained[2]
    assert trained == sorted(trained)


def saves(learn: Learner, name: str) -> None:
    learn.create_opt()
    path = learn.save("weights")
    before = weights(learn)
    with torch.no_grad():
        for p in learn.model.parameters():
            p.zero_()
    learn.load(path.stem)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(learn), strict=True))
    learn.save("bare", with_opt=False)
    learn.load("bare", with_opt=False, strict=False)


def keeps_losses_apart(learn: Learner, name: str) -> None:
    with learn.loss_not_reduced(), torch.no_grad():
        learn.dl = learn.dls.valid
        learn.model.eval()
        learn.one_batch(0, learn.dls.valid.one_batch())
        assert learn.loss.numel() > 1


def predicts(learn: Learner, name: str) -> None:
    item = item_of(name)
    assert len(learn.predict(item)) == 1
    assert learn.predict(item, rm_type_tfms=None) == learn.predict([item])
    inputs, results = learn.predict([item, item], with_input=True)
    assert len(inputs) == len(results) == 2


def validates(learn: Learner, name: str) -> None:
    scores = learn.validate()
    assert len(scores) == 1 + len(learn.metrics)
    assert learn.validate(0)[0] > 0
    assert learn.validate(dl=learn.dls.valid)[0] == scores[0]
    with learn.validation_context(cbs=Steps()):
        assert learn.steps


def is_quiet(learn: Learner, name: str) -> None:
    out = io.StringIO()
    with redirect_stdout(out), learn.no_bar(), learn.no_mbar(), learn.no_logging():
        learn.validate()
    assert not out.getvalue()


def trains_in_16_bits(learn: Learner, name: str) -> None:
    learn.to_bf16()
    trains(learn, lambda cb: learn.fit(1, 1e-3, cbs=cb), 1)
    learn.to_fp32()
    with pytest.raises(InputError, match="fp16 needs a CUDA device"):
        learn.to_fp16()


def shows_its_loop(learn: Learner, name: str) -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        learn.show_training_loop()
    assert "BaseModelCallback" in out.getvalue() or "TrainEvalCallback" in out.getvalue()


def detaches(learn: Learner, name: str) -> None:
    assert learn.to_detach({"a": torch.ones(2, requires_grad=True)})["a"].requires_grad is False


def undoes_nothing(learn: Learner, name: str) -> None:
    before = list(learn.cbs)
    for undo in (learn.detach_distributed, learn.detach_parallel, learn.to_contiguous, learn.to_non_native_fp32):
        undo()
    assert list(learn.cbs) == before


def refuses(call: Callable[[Learner], Any], match: str) -> Callable[[Learner, str], None]:
    def check(learn: Learner, name: str) -> None:
        with pytest.raises(InputError, match=match):
            call(learn)

    return check


def fits(call: Callable[[Learner, Any], Any], epochs: int) -> Callable[[Learner, str], None]:
    return lambda learn, name: trains(learn, lambda cb: call(learn, cb), epochs)


ONE_DEVICE = "on one device"
METHODS: dict[str, Callable[[Learner, str], None]] = {
    **dict.fromkeys(["add_cb", "add_cbs", "added_cbs", "ordered_cbs", "remove_cb", "remove_cbs", "removed_cbs"],
                    takes_callbacks),
    **dict.fromkeys(["all_batches", "one_batch", "x", "y"], runs_batches),
    **dict.fromkeys(["freeze", "freeze_to", "unfreeze"], freezes),
    **dict.fromkeys(["save", "load", "create_opt"], saves),
    **dict.fromkeys(["no_bar", "no_logging", "no_mbar"], is_quiet),
    **dict.fromkeys(["validate", "validation_context", "metrics"], validates),
    **dict.fromkeys(["to_bf16", "to_fp16", "to_fp32"], trains_in_16_bits),
    "export": exports,
    "fine_tune": lambda learn, name: learn.fine_tune(1),
    "fit": fits(lambda learn, cb: learn.fit(2, 1e-3, wd=0.1, cbs=cb, reset_opt=True), 2),
    "fit_flat_cos": fits(lambda learn, cb: learn.fit_flat_cos(1, 1e-3, cbs=cb), 1),
    "fit_one_cycle": fits(lambda learn, cb: learn.fit_one_cycle(1, slice(1e-4, 1e-3), cbs=cb), 1),
    "fit_sgdr": fits(lambda learn, cb: learn.fit_sgdr(2, 1, 1e-3, cbs=cb), 3),
    "get_preds": predicts_all,
    "loss_not_reduced": keeps_losses_apart,
    "lr_find": finds_a_rate,
    "predict": predicts,
    "show_results": shows_results,
    "show_training_loop": shows_its_loop,
    "summary": sums_up,
    "to_detach": detaches,
    "tta": refuses(lambda learn: learn.tta(), "augment"),
    **{
        name: refuses(lambda learn, name=name: getattr(learn, name)(), ONE_DEVICE)
        for name in ["distrib_ctx", "parallel_ctx", "to_distributed", "to_parallel"]
    },
    "to_channelslast": refuses(lambda learn: learn.to_channelslast(), "images"),
    "to_non_native_fp16": refuses(lambda learn: learn.to_non_native_fp16(), "to_fp16"),
    **dict.fromkeys(["detach_distributed", "detach_parallel", "to_contiguous", "to_non_native_fp32"], undoes_nothing),
}  # fmt: skip


def test_every_public_method_of_fastais_learner_is_considered():
    assert {name for name in dir(Learner) if not name.startswith("_")} == set(METHODS)


@pytest.mark.parametrize("method", {check: method for method, check in METHODS.items()}.values())
def test_a_blearner_has_fastais_methods(made, method: str):
    name, learn = made
    METHODS[method](learn, name)


def test_fastais_interpretation_shows_the_rows_with_the_largest_losses(made, capsys):
    _, learn = made
    found = interpret.Interpretation.from_learner(learn)
    losses, numbers = found.top_losses(3)
    everything = learn.get_preds(with_input=True, with_loss=True)
    assert torch.allclose(everything[-1][numbers], losses, atol=1e-5)
    inputs, _, targets, _, _ = found[numbers]
    for some, every in ((inputs["input_ids"], everything[0]["input_ids"]), (targets, everything[2])):
        for one, other in zip(some, every[numbers], strict=True):
            assert one.flatten().tolist() == other.flatten()[: one.numel()].tolist()
    assert len(found.top_losses(2, items=True)[2]) == 2
    found.plot_top_losses(3)
    shown = capsys.readouterr().out
    assert f"{float(losses[0]):.6f}"[:5] in shown
    found.show_results([1, 0])
    assert "film" in capsys.readouterr().out


def test_our_interpretation_shows_its_table(made, capsys):
    _, learn = made
    Interpretation.from_learner(learn).plot_top_losses(2)
    assert "loss" in capsys.readouterr().out


def test_a_classification_has_its_confusion_matrix_and_report(made, capsys):
    name, learn = made
    if name not in ("sequence_classification", "token_classification"):
        with pytest.raises(InputError, match="has no classes"):
            ClassificationInterpretation.from_learner(learn)
        return
    for kind in (ClassificationInterpretation, interpret.ClassificationInterpretation):
        found = kind.from_learner(learn)
        *_, targets, classes = learn.get_preds(with_decoded=True)
        matrix = found.confusion_matrix()
        assert matrix.shape == (len(learn.dls.vocab),) * 2
        assert matrix.sum() == (targets != -100).sum()
        assert np.trace(matrix) == ((targets == classes) & (targets != -100)).sum()
        wrong = [(a, b) for a, b, _ in found.most_confused()]
        assert set(wrong) <= {(a, b) for a in learn.dls.vocab for b in learn.dls.vocab if a != b}
        found.plot_confusion_matrix()
        plt.close("all")
        found.print_classification_report()
        report = capsys.readouterr().out
        assert all(label in report for label in learn.dls.vocab)
        assert str(int((targets != -100).sum())) in report


def test_what_a_fit_has_recorded_stays_when_the_learner_predicts(made):
    name, learn = made
    with learn.no_logging():
        learn.fit_one_cycle(2, 1e-3)
    recorder = learn.recorder
    before = (list(recorder.losses), list(recorder.lrs), list(recorder.values), list(recorder.iters))
    learn.show_results(show=False)
    learn.predict(item_of(name))
    learn.get_preds()
    learn.validate()
    learn.top_losses(1)
    learn.summary()
    assert (recorder.losses, recorder.lrs, recorder.values, recorder.iters) == before
    axes = recorder.plot_loss(skip_start=0, show_epochs=True)
    assert len(axes.lines[0].get_xdata()) == len(before[0])
    recorder.plot_sched()
    plt.close("all")


def test_a_callback_may_fetch_predictions_in_a_fit(made):
    _, learn = made
    fetch = FetchPredsCallback()
    with learn.no_logging():
        learn.fit(1, 1e-4, cbs=fetch)
    assert len(fetch.preds[0]) == len(learn.dls.valid_ds)
    assert len(learn.recorder.values) == 1
