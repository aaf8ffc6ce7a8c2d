"""Train a Hugging Face model with fastai, and predict with it: `BaseModelCallback` and `Blearner`."""

import logging
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import fastai.callback.all  # noqa: F401  gives Learner its fit_one_cycle, lr_find, no_bar and more
import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from torch import nn
from transformers import PreTrainedModel

from blurr.config.wording import in_words_of_notebook
from blurr.errors import InputError
from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import Table
from blurr.models import losses
from blurr.models.decoder import decoder_inputs
from blurr.models.groups import SPLITTERS, blurr_splitter, note_of_freezing
from blurr.models.heads import check_order
from blurr.models.wrapper import BaseModelWrapper, check_no_peft_model, keep_frozen_statistics, logits_of
from blurr.training.callbacks.base import ORDER
from blurr.training.embeddings import CompactEmbeddings, make_whole
from blurr.training.inference import Result, batch_fairly
from blurr.training.interpretation import Interpretation, Interpreter
from blurr.training.loop import LeanLearner, Steps
from blurr.training.optimizers import adamw
from blurr.training.precision import BFloat16
from blurr.training.predictions import get_preds, interpret_shown
from blurr.training.recording import CURRENT, Recording
from blurr.training.shares import share_training

log = logging.getLogger(__name__)


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
            self.learn.blurr_predict = partial(predict, self.learn)
            self.learn.interpreter = interpret
            self.learn.get_preds = partial(get_preds, self.learn)

    def before_train(self) -> None:
        keep_frozen_statistics(self.model)

    def before_validate(self) -> None:
        batch_fairly(self.learn, self.dl)

    def before_batch(self) -> None:
        learn = self.learn
        if not all(y.numel() for y in learn.yb):
            learn.yb = ()  # rows without targets have no loss
        x = learn.xb[0]
        if "labels" in x and x["labels"].dtype == torch.float64:
            x = {
                **x,
                "labels": x["labels"].float(),
            }  # the metrics keep float64
            learn.xb = (x,)
        if "labels" in x:
            own_loss = isinstance(learn.loss_func, losses.PRECALCULATED) and learn.model.has_loss
            learn.xb = (decoder_inputs(x, learn.model.hf_model, own_loss=own_loss),)

    def after_pred(self) -> None:
        learn = self.learn
        output = learn.pred
        learn.blurr_model_outputs = {k: v for k, v in output.items() if k not in {"loss", "logits"}}
        learn.pred = logits_of(output)
        if isinstance(learn.loss_func, losses.PRECALCULATED):
            loss = output.get("loss")
            learn.loss_func.precalculated = None if loss is None else loss.float()  # weights of 16 bits give 16


def predict(
    learn: Learner, items: Any, rm_type_tfms: Any = None, with_input: bool = False, **options: Any
) -> list[Any] | tuple[Any, list[Any]]:
    """Predict one item or many with the task that the learner's rows were made for.

    Args:
        learn: knows the task by its loaders.
        items: one item, or many.
        rm_type_tfms: an argument of fastai's `predict` that changes nothing here.
        with_input: return the items, too, before their predictions.
        options: of the task's predictions.

    Raises:
        InputError: the loaders know no task, or the task not this option.
    """
    task = learn.dls.train.task if isinstance(learn.dls.train, RowsDL) else None
    if task is None:
        raise InputError(
            "These DataLoaders know no task to predict for; make them with one of blurr's blocks or tasks."
        )
    with in_words_of_notebook():
        predicted: list[Any] = task.predict(learn, items, **options)
    return (items, predicted) if with_input else predicted


def interpret(learn: Learner, dl: RowsDL) -> Table:
    """Describe each row of a loader: as its task does, else as `show_results` shows it."""
    described: Table = interpret_shown(learn, dl) if dl.task is None else dl.task.interpret(learn, dl)
    return described


def _length(epochs: int | Steps | None, steps: int | None) -> int | Steps:
    """Return how long a fit is to be.

    Raises:
        InputError: neither is given, or both, or the steps are not a whole number of at least 1.
    """
    if (epochs is None) == (steps is None):
        raise InputError(f"A fit has a number of epochs, or steps=…: give one of them, not {epochs} and steps={steps}.")
    if epochs is not None:
        return epochs
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise InputError(f"steps={steps}: must be a whole number of at least 1.")
    return Steps(steps)


class Blearner(LeanLearner):
    """A fastai `Learner` for Hugging Face models, with a frozen body to begin with.

    Args:
        dls: loaders whose batches are `(inputs, targets)`.
        hf_model: the model, bare or wrapped.
        base_model_cb: a `BaseModelCallback`, or its class.
        loss_func: any fastai or torch loss, used as it is; `None` takes the loss that the model computes itself.
        freeze: train the last parameter group alone until `unfreeze` is called.
        max_grad_norm: gradients are scaled down to this norm before each step; `None` leaves them as they are. A
            `GradientClip` among the callbacks counts instead.
        compact_embeddings: train only the rows of the input embedding that occur in the training rows, where the
            weights come out the same; see `blurr.training.embeddings`. Between two steps of an epoch its weight has
            these rows alone; `state_dict()` gives all.
        kwargs: as for fastai's `Learner`.

    Raises:
        InputError: no model is given, or two; or `max_grad_norm` is not a number above 0.
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
        max_grad_norm: float | None = 1.0,
        compact_embeddings: bool = True,
        **kwargs: Any,
    ) -> None:
        self.compact_embeddings = compact_embeddings
        if (hf_model is None) == (model is None):
            raise InputError("Blearner needs one model: give hf_model (or model), not both.")
        if max_grad_norm is not None and not 0 < max_grad_norm < math.inf:
            raise InputError(
                f"max_grad_norm={max_grad_norm}: must be a number above 0, or None for gradients as they are."
            )
        wanted: Any = hf_model if hf_model is not None else model
        check_no_peft_model(wanted)
        callback = base_model_cb() if isinstance(base_model_cb, type) else base_model_cb
        is_bare = isinstance(wanted, PreTrainedModel)
        wrapped = BaseModelWrapper(wanted, **callback.base_model_wrapper_kwargs) if is_bare else wanted
        given = [cbs] if isinstance(cbs, Callback | type) else list(cbs or [])
        options = {"opt_func": adamw, "splitter": blurr_splitter, "train_bn": False, **kwargs}
        super().__init__(
            dls, wrapped, loss_func=loss_func or losses.own_loss(dls.train_ds), cbs=[callback, *given], **options
        )
        self.max_grad_norm = max_grad_norm
        self.recorder.loss = losses.LossPerTarget()
        share_training(self)
        vocab = list(getattr(dls, "vocab", None) or [])
        if is_bare and all(isinstance(name, str) for name in vocab):
            check_order(vocab, wanted.config)
        if freeze:
            self.freeze()

    interpreter: Interpreter = staticmethod(interpret)
    origin: Any = None  # what `from_data` made it of
    recording: Recording | None = None  # the run that records it, or did
    compact_embeddings = True

    def __getstate__(self) -> dict[str, Any]:
        """Return what an export holds: neither rows nor a run."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name not in ("origin", "recording")}

    def fit(self, n_epoch: int | Steps | None = None, *args: Any, steps: int | None = None, **kwargs: Any) -> None:
        """Train as fastai's `fit` does, for `n_epoch` or for a number of optimizer `steps`, one of which must be given.

        It is recorded in the run that is open; see `blurr.track`.
        """
        length = _length(n_epoch, steps)
        if CURRENT.recording is not None:
            CURRENT.recording.begin(self)
        try:
            with self.added_cbs(CompactEmbeddings() if self.compact_embeddings else None):
                super().fit(length, *args, **kwargs)
        finally:  # an error or Ctrl-C amid a batch would leave the whole notebook in autocast
            for callback in self.cbs.filter(lambda each: isinstance(each, BFloat16)):
                callback.leave()

    def freeze(self) -> None:
        """Train the last parameter group alone: the head; say what it is where that has no weights of its own."""
        super().freeze()
        if self.splitter in SPLITTERS.values():
            note = note_of_freezing(self.model, [each for each in self.model.parameters() if each.requires_grad])
            if note:
                log.info("Frozen: %s.", note)

    def all_batches(self) -> None:
        """Run the batches of an epoch; whoever looks at the weights afterwards sees the whole embedding."""
        try:
            super().all_batches()
        finally:
            make_whole(self)

    def fit_one_cycle(self, n_epoch: int | None = None, *args: Any, steps: int | None = None, **kwargs: Any) -> None:
        """Train as fastai's `fit_one_cycle` does, for a number of epochs or of optimizer steps."""
        super().fit_one_cycle(_length(n_epoch, steps), *args, **kwargs)

    def fit_flat_cos(self, n_epoch: int | None = None, *args: Any, steps: int | None = None, **kwargs: Any) -> None:
        """Train as fastai's `fit_flat_cos` does, for a number of epochs or of optimizer steps."""
        super().fit_flat_cos(_length(n_epoch, steps), *args, **kwargs)

    def fine_tune(self, epochs: int | None = None, *args: Any, steps: int | None = None, **kwargs: Any) -> None:
        """Train as fastai's `fine_tune` does; `epochs` or `steps` are those that train all weights."""
        super().fine_tune(_length(epochs, steps), *args, **kwargs)

    @classmethod
    def get_metrics_cb(cls) -> Callback:
        """Return a callback that changes nothing: what `from_data` makes has the metrics that 1.x had by this one."""
        return Callback()

    def report(self) -> Any:
        """Return the report of the run that recorded the training, which a notebook shows.

        Raises:
            InputError: no run did.
        """
        if self.recording is None:
            raise InputError('No run has recorded this learner: with blurr.track("my run"): learn.fit_one_cycle(1)')
        return self.recording.report()

    def predict(self, items: Any, *args: Any, **options: Any) -> Any:
        """Predict one item or many, as the task of the learner's rows does; see `predict` of this module."""
        return predict(self, items, *args, **options)

    def blurr_predict(self, items: Any, *args: Any, **options: Any) -> Any:
        """Predict one item or many; see `predict`."""
        return self.predict(items, *args, **options)

    def show_results(
        self, ds_idx: int = 1, dl: RowsDL | None = None, max_n: int = 6, shuffle: bool = False, **options: Any
    ) -> Any:
        """Show rows of the first batch beside what the model predicts for them.

        Args:
            ds_idx: Number of the split.
            dl: A loader instead.
            max_n: Maximum number of rows.
            shuffle: Take a batch at random.
            options: See `RowsDL.show_results`; `show=False` returns the rows.
        """
        dl = self.dls[ds_idx] if dl is None else dl
        batch = (dl.new(shuffle=True) if shuffle else dl).one_batch()
        return dl.show_results(batch, self.shown_predictions(batch, dl, **options), max_n=max_n, **options)

    def get_preds(self, *args: Any, **options: Any) -> tuple[Any, ...]:
        """Return predictions and targets of all rows in their order; see `blurr.training.predictions.get_preds`."""
        return get_preds(self, *args, **options)

    def top_losses(
        self, k: int | None = 9, *, ds_idx: int = 1, dl: RowsDL | None = None, largest: bool = True
    ) -> list[Result]:
        """Return the rows of a split with the largest losses; see `Interpretation`."""
        return Interpretation.from_learner(self, ds_idx, dl).top_losses(k, largest=largest)

    def shown_predictions(self, batch: Any, dl: RowsDL, **options: Any) -> Any:
        """Return the predictions of a batch in the form that `RowsDL.show_results` shows."""
        return self.decoded_predictions(batch, **options)

    def decoded_predictions(self, batch: Any, **_: Any) -> Any:
        """Return the predicted classes of a batch, in the form that its targets have."""
        return self.get_preds(dl=[batch], with_decoded=True)[2]

    # -- fastai's methods that mean something else here, or nothing

    def to_bf16(self) -> "Blearner":
        """Train in bfloat16 from now on, on any device; the weights stay float32."""
        self.to_fp32()
        return self.add_cb(BFloat16())  # type: ignore[no-any-return]

    def to_fp16(self, **options: Any) -> "Blearner":
        """Train in float16 with scaled gradients from now on; the options are those of fastai's `MixedPrecision`.

        Raises:
            InputError: there is no CUDA device.
        """
        if not torch.cuda.is_available():
            raise InputError("to_fp16 needs a CUDA device, and there is none. learn.to_bf16() works on any device.")
        self.to_fp32()
        return self.add_cb(MixedPrecision(**options))  # type: ignore[no-any-return]

    def to_fp32(self) -> "Blearner":
        """Train in float32 from now on."""
        return self.remove_cbs([BFloat16, MixedPrecision])  # type: ignore[no-any-return]

    def tta(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse to predict on augmented rows."""
        raise InputError(
            "learn.tta() averages predictions over augmented rows, and nothing augments rows here; use get_preds()."
        )

    def to_parallel(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse to train on several devices."""
        raise InputError("A Blearner trains on one device; it has no data parallelism. Leave this call out.")

    to_distributed = parallel_ctx = distrib_ctx = to_parallel

    def to_non_native_fp16(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse fastai's older way to train in float16."""
        raise InputError("to_non_native_fp16 is fastai's way for torch before 1.6. Use learn.to_fp16() or to_bf16().")

    def to_channelslast(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse a layout of memory for convolutions."""
        raise InputError("to_channelslast is for models of images; this one reads none. Leave this call out.")
