"""Train a Hugging Face model with fastai, and predict with it: the mid-level API and `Blearner`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from numbers import Number
from typing import Any

import fastai.callback.all  # noqa: F401  gives Learner its fit_one_cycle, lr_find, no_bar and more
import pandas as pd
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat
from torch import nn
from transformers import PreTrainedModel

from blurr.errors import InputError
from blurr.loading.dataloader import Inputs, TextDL
from blurr.loading.rows import TokenizedRows, by_row, in_order
from blurr.models import losses
from blurr.models.decoder import decoder_inputs
from blurr.models.heads import check_order
from blurr.models.wrapper import BaseModelWrapper, blurr_splitter, logits_of
from blurr.targets.threshold import threshold_of
from blurr.training.callbacks.base import ORDER
from blurr.training.interpretation import Interpretation, Interpreter, interpret_shown, predictions_of
from blurr.training.loop import LeanLearner
from blurr.training.optimizers import adamw
from blurr.training.padding import batch_fairly

Result = dict[str, Any]


class BaseModelCallback(Callback):  # type: ignore[misc]  # fastai is not typed
    """Bring fastai's loop and a Hugging Face model together.

    `learn.pred` becomes the logits; all the rest of the output is in `learn.blurr_model_outputs`. The model computes
    its own loss where the loss function is one of the `PreCalculated…` losses, and is not asked to where it is another.

    Args:
        base_model_wrapper_kwargs: passed to `BaseModelWrapper` where the learner got a bare model.
    """

    order = ORDER["BaseModelCallback"]

    def __init__(self, base_model_wrapper_kwargs: Mapping[str, Any] | None = None) -> None:
        self.base_model_wrapper_kwargs = dict(base_model_wrapper_kwargs or {})

    def after_create(self) -> None:
        if isinstance(self.model, PreTrainedModel):
            self.learn.model = BaseModelWrapper(self.model, **self.base_model_wrapper_kwargs)
        if not isinstance(self.learn, Blearner):
            # a plain Learner gets blurr's predictions as attributes of its own; its class stays as it is
            self.learn.blurr_predict = partial(blurr_predict, self.learn)
            self.learn.interpreter = interpret_shown

    def before_validate(self) -> None:
        batch_fairly(self.learn, self.dl)

    def before_batch(self) -> None:
        learn = self.learn
        if not all(y.numel() for y in learn.yb):
            learn.yb = ()  # rows without targets, of which there is no loss
        x = learn.xb[0]
        if "labels" in x and x["labels"].dtype == torch.float64:
            x = {**x, "labels": x["labels"].float()}  # exact for the metrics, of the weights' precision for the model
            learn.xb = (x,)
        if "labels" in x:
            own_loss = isinstance(learn.loss_func, losses.PRECALCULATED)
            learn.xb = (decoder_inputs(x, learn.model.hf_model, own_loss=own_loss),)

    def after_pred(self) -> None:
        learn = self.learn
        output = learn.pred
        learn.blurr_model_outputs = {k: v for k, v in output.items() if k not in {"loss", "logits"}}
        learn.pred = logits_of(output)
        if isinstance(learn.loss_func, losses.PRECALCULATED):
            loss = output.get("loss")
            learn.loss_func.precalculated = None if loss is None else loss.float()  # weights of 16 bits give 16


_OWN_LOSS = {
    CrossEntropyLossFlat: losses.PreCalculatedCrossEntropyLoss,
    BCEWithLogitsLossFlat: losses.PreCalculatedBCELoss,
    type(MSELossFlat()): losses.PreCalculatedMSELoss,
}


def own_loss(dls: DataLoaders) -> Any:
    """Give the loss that takes the model's own value, of the kind that the targets ask for."""
    wanted = getattr(dls.train_ds, "loss_func", None)
    return _OWN_LOSS.get(type(wanted), losses.PreCalculatedCrossEntropyLoss)()


class Blearner(LeanLearner):
    """A fastai `Learner` for Hugging Face models, with a frozen body to begin with.

    Args:
        dls: loaders whose batches are `(inputs, targets)`.
        hf_model: the model, bare or wrapped.
        base_model_cb: a `BaseModelCallback`, or its class.
        loss_func: any fastai or torch loss, used as it is; `None` takes the loss that the model computes itself.
        freeze: train the last parameter group alone until `unfreeze` is called.
        kwargs: as for fastai's `Learner`.

    Raises:
        InputError: no model is given, or two.
    """

    def __init__(
        self,
        dls: DataLoaders,
        hf_model: nn.Module | None = None,
        base_model_cb: Any = BaseModelCallback,
        *,
        model: nn.Module | None = None,
        loss_func: Any = None,
        cbs: Any = None,
        freeze: bool = True,
        **kwargs: Any,
    ) -> None:
        if (hf_model is None) == (model is None):
            raise InputError("Blearner needs one model: give hf_model (or model), not both.")
        wanted = hf_model if hf_model is not None else model
        wrapped = BaseModelWrapper(wanted) if isinstance(wanted, PreTrainedModel) else wanted
        callback = base_model_cb() if isinstance(base_model_cb, type) else base_model_cb
        given = [cbs] if isinstance(cbs, Callback | type) else list(cbs or [])
        options = {"opt_func": adamw, "splitter": blurr_splitter, "train_bn": False, **kwargs}
        super().__init__(dls, wrapped, loss_func=loss_func or own_loss(dls), cbs=[callback, *given], **options)
        self.recorder.loss = losses.LossPerTarget()
        vocab = list(getattr(dls, "vocab", None) or [])
        if isinstance(wanted, PreTrainedModel) and all(isinstance(name, str) for name in vocab):
            check_order(vocab, wanted.config)
        if freeze:
            self.freeze()

    interpreter: Interpreter = staticmethod(interpret_shown)  # a task puts its own here, which joins windows

    def predict(self, items: Any, **options: Any) -> list[Result]:
        """Predict one item or many; see `blurr_predict`."""
        return self.blurr_predict(items, **options)

    def blurr_predict(self, items: Any, **options: Any) -> list[Result]:
        """Classify one item or many; see `blurr.training.learner.blurr_predict`."""
        return blurr_predict(self, items, **options)

    def show_results(
        self, ds_idx: int = 1, dl: TextDL | None = None, max_n: int = 6, show: bool = True, **options: Any
    ) -> Any:
        """Show rows of the first batch beside what the model predicts for them; see `TextDL.show_results`."""
        dl = self.dls[ds_idx] if dl is None else dl
        batch = dl.one_batch()
        return dl.show_results(batch, self.decoded_predictions(batch, **options), max_n=max_n, show=show, **options)

    def get_preds(self, ds_idx: int = 1, dl: Any = None, **options: Any) -> tuple[Any, ...]:
        """Give predictions and targets of all rows in their order; see fastai's `Learner.get_preds`.

        Args:
            ds_idx: number of the split.
            dl: a loader, or a list of batches, instead.
            options: `with_input`, `with_decoded`, `with_loss` (of each row), `act`.

        Returns:
            Maybe inputs, predictions, targets, maybe decoded predictions and losses. What is ragged is padded, see
            `blurr.training.interpretation.gather`; so mind the memory that all logits take.
        """
        chosen = self.dls[ds_idx].new(shuffle=False, drop_last=False) if dl is None else dl
        return predictions_of(self, chosen, **options)

    def top_losses(
        self, k: int | None = 9, *, ds_idx: int = 1, dl: TextDL | None = None, largest: bool = True
    ) -> list[Result]:
        """Give the rows of a split with the largest losses; see `Interpretation`."""
        return Interpretation.from_learner(self, ds_idx, dl).top_losses(k, largest=largest)

    def decoded_predictions(self, batch: Any, **_: Any) -> Any:
        """Give the predicted classes of a batch, in the form that its targets have."""
        return self.get_preds(dl=[batch], with_decoded=True)[2]


# -- prediction


def as_items(items: Any) -> list[Any]:
    """Make a list of what a user may predict on: one item or many, a DataFrame, a Series, a Dataset.

    A string, a tuple (a sentence pair) and a dict are one item each.

    Raises:
        InputError: an item is null or a number.
    """
    if isinstance(items, str | tuple | Mapping) or not isinstance(items, Iterable):
        items = [items]
    elif isinstance(items, pd.DataFrame):
        items = items.to_dict("records")
    else:
        items = list(items)
    rows: list[Any] = items
    for i, item in enumerate(rows):
        if item is None or isinstance(item, Number):
            raise InputError(f"Item {i} is {item!r}; an item is a text, a pair of texts, or a dict of the columns.")
    return rows


def infer(learn: Learner, items: Any, step: Callable[[Inputs], Sequence[Any]], *, bs: int | None = None) -> list[Any]:
    """Run `step` over batches of items, in eval mode and without gradients, and give its results in the items' order.

    Args:
        learn: whose model and loaders are used.
        items: see `as_items`.
        step: makes one result per row of a batch of inputs, on the model's device.
        bs: rows in a batch; `None` takes that of the validation loader.
    """
    return [parts[0] for parts in infer_windows(learn, items, step, bs=bs)]


def infer_windows(
    learn: Learner, items: Any, step: Callable[[Inputs], Sequence[Any]], *, bs: int | None = None
) -> list[list[Any]]:
    """Do as `infer` does where an item may become several windows: give a list of results per item."""
    rows = as_items(items)
    if not rows:
        return []
    size = {} if bs is None else {"bs": bs, "max_tokens": None}
    dl = learn.dls.test_dl(rows, num_workers=0, **size)
    dl.to(next(learn.model.parameters()).device)
    was_training = learn.model.training
    learn.model.eval()
    try:
        with torch.inference_mode():
            batch_fairly(learn, dl)
            done = [result for x, *_ in dl for result in step(_without_labels(x))]
    finally:
        learn.model.train(was_training)
    results = in_order(dl.get_idxs(), done)
    return by_row(dl.dataset, results, len(rows)) if isinstance(dl.dataset, TokenizedRows) else [[r] for r in results]


def _without_labels(x: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in x.items() if k != "labels"}


def blurr_predict(learn: Learner, items: Any, *, threshold: float | None = None, bs: int | None = None) -> list[Result]:
    """Classify one item or many.

    Args:
        learn: a learner for sequence classification.
        items: a text, a pair of texts as a tuple, a dict of the columns; or a list, DataFrame, Series, Dataset of them.
        threshold: least probability of a label, for several labels; `None` takes the model's own, see `task.threshold`.
        bs: rows in a batch.

    Returns:
        One dict per item: `label`, `score`, `class_index`, `class_labels`, `probs`; for several labels `labels`,
        `scores`, `class_indices`, `class_labels`, `probs`; for regression `value`.
    """
    config = learn.model.hf_model.config
    names = list(learn.dls.vocab) if getattr(learn.dls, "vocab", None) is not None else list(config.id2label.values())
    kind = config.problem_type or _kind_of(learn.loss_func)
    least = threshold_of(config) if threshold is None else threshold
    classify = partial(classification_results, names=names, kind=kind, threshold=least)
    return infer(learn, items, lambda x: classify(learn.model(x).logits), bs=bs)


def _kind_of(loss_func: Any) -> str:
    if isinstance(loss_func, BCEWithLogitsLossFlat):
        return "multi_label_classification"
    return "regression" if isinstance(loss_func, losses.PreCalculatedMSELoss) else "single_label_classification"


def classification_results(
    logits: torch.Tensor, names: Sequence[Any], *, kind: str, threshold: float = 0.5
) -> list[Result]:
    """Turn logits `(batch, classes)` into one result per row; see `blurr_predict`."""
    logits = logits.float().cpu()
    if kind == "regression":
        return [{"value": float(value)} for value in logits[:, 0]]
    if kind == "multi_label_classification":
        return [_several_labels(p, names, threshold) for p in logits.sigmoid().tolist()]
    return [_one_label(p, names) for p in logits.softmax(-1).tolist()]


def _one_label(probs: list[float], names: Sequence[Any]) -> Result:
    best = max(range(len(probs)), key=probs.__getitem__)
    return {
        "label": names[best],
        "score": probs[best],
        "class_index": best,
        "class_labels": list(names),
        "probs": probs,
    }


def _several_labels(probs: list[float], names: Sequence[Any], threshold: float) -> Result:
    chosen = [i for i, p in enumerate(probs) if p >= threshold]
    return {
        "labels": [names[i] for i in chosen],
        "scores": [probs[i] for i in chosen],
        "class_indices": chosen,
        "class_labels": list(names),
        "probs": probs,
    }
