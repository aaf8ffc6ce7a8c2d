"""All predictions of a loader, as fastai's `get_preds` returns them, and its rows as `show_results` shows them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastcore.basics import getcallable
from fastcore.foundation import L
from torch.nn.functional import pad

from blurr.loading.collate import PaddingCollator
from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import IGNORED, OneInput, Table, in_order
from blurr.models.losses import loss_per_row
from blurr.training.interpretation import EvaluationCallback


class Gather(Callback):  # type: ignore[misc]  # fastai is not typed
    """Keep inputs, predictions, targets and losses of all batches, each only if it is wanted.

    Args:
        wanted: any of `inputs`, `predictions`, `targets`, `losses`.
        save_preds: a folder that gets the predictions of each batch as a file, by its number.
        save_targs: a folder for the targets.
        pickle_protocol: of these files.
    """

    name = "gather_preds"  # by which fastai's callbacks tell predicting from training

    def __init__(
        self,
        wanted: Sequence[str],
        *,
        save_preds: Path | None = None,
        save_targs: Path | None = None,
        pickle_protocol: int = 2,
    ) -> None:
        self.wanted = wanted
        self.folders = {"predictions": save_preds, "targets": save_targs}
        self.pickle_protocol = pickle_protocol
        self.parts: dict[str, list[Any]] = {name: [] for name in wanted}

    def after_batch(self) -> None:
        learn = self.learn
        if learn.pred is None:  # a callback has cancelled the batch
            return
        targets = learn.yb[0] if learn.yb else learn.pred.new_empty(len(learn.pred), 0)
        values = {"inputs": dict(learn.xb[0]), "predictions": learn.pred, "targets": targets}
        if "losses" in self.wanted:
            values["losses"] = loss_per_row(learn.loss_func, learn.pred, *learn.yb) if learn.yb else targets
        values = learn.to_detach(values)
        for name, parts in self.parts.items():
            parts.append(values[name])
        for name, folder in self.folders.items():
            if folder is not None:
                torch.save(values[name], Path(folder) / str(learn.iter), pickle_protocol=self.pickle_protocol)


def get_preds(
    learn: Learner,
    ds_idx: int = 1,
    dl: Any = None,
    with_input: bool = False,
    with_decoded: bool = False,
    with_loss: bool = False,
    *,
    act: Callable[[torch.Tensor], Any] | None = None,
    inner: bool = False,
    reorder: bool = True,
    cbs: Any = None,
    with_preds: bool = True,
    with_targs: bool = True,
    concat_dim: int = 0,
    **saving: Any,
) -> tuple[Any, ...]:
    """Return predictions and targets of all rows, in their order; fastai's `get_preds` for ragged rows and dicts.

    Args:
        learn: its model and loss are used.
        ds_idx: number of the split.
        dl: a loader, or a list of batches, instead.
        with_input: return the inputs, too, as a dict.
        with_decoded: return the predicted classes, too, in the form of the targets; -100 where these are left out.
        with_loss: return the loss of each row, `(rows,)`, too.
        act: activation; None takes the loss's.
        inner: the call comes from within a fit or a validation, which prepare the callbacks.
        reorder: `False` returns rows in the order of the batches.
        cbs: callbacks for this call.
        with_preds: `False` returns None for the predictions, and keeps none in memory.
        with_targs: `False` returns None for the targets.
        concat_dim: dimension that batches are joined along.
        saving: `save_preds`, `save_targs` and `pickle_protocol`, see `Gather`.

    Returns:
        Inputs if asked for, predictions, targets, decoded predictions and losses if asked for. Tensors whose width
        differs between batches are padded on the right: targets by -100, inputs as their collator does, all else by 0.
        All logits together take much memory.
    """
    chosen = _loader(learn.dls[ds_idx] if dl is None else dl)
    wanted = {"inputs": with_input, "predictions": with_preds, "targets": with_targs or with_decoded}
    gathered = Gather([name for name, is_wanted in {**wanted, "losses": with_loss}.items() if is_wanted], **saving)
    with _predicting(learn, L(cbs) + [gathered], inner=inner, bar=isinstance(chosen, RowsDL)):
        learn._do_epoch_validate(dl=chosen)
    pads = _pads(chosen)
    found = {name: _joined(parts, name, pads, concat_dim) for name, parts in gathered.parts.items()}
    if reorder and concat_dim == 0 and isinstance(chosen, RowsDL):
        back = torch.tensor(chosen.get_idxs(), dtype=torch.long).argsort()
        found = {name: _reordered(values, back) for name, values in found.items()}
    predictions = None
    if with_preds:
        predictions = (getcallable(learn.loss_func, "activation") if act is None else act)(found["predictions"])
    result = [found["inputs"]] if with_input else []
    result += [predictions, found["targets"] if with_targs else None]
    if with_decoded and with_preds:
        result.append(_where_targets_are(getcallable(learn.loss_func, "decodes")(predictions), found["targets"]))
    return (*result, found["losses"]) if with_loss else tuple(result)


def _loader(dl: Any) -> Any:
    """Return a loader of all rows whose order stays the same; other loaders and lists of batches as they are."""
    return dl.new(shuffle=False, drop_last=False) if isinstance(dl, RowsDL) and (dl.shuffle or dl.drop_last) else dl


@contextmanager
def _predicting(learn: Learner, cbs: Any, *, inner: bool, bar: bool) -> Iterator[None]:
    """Hold the learner ready for a pass without metrics, whose callbacks may generate texts."""
    with ExitStack() as held:
        held.callback(setattr, learn, "metrics", learn.metrics)
        learn.metrics = []
        held.enter_context(learn.removed_cbs(learn._grab_cbs(EvaluationCallback)))
        if not (bar or inner):
            held.enter_context(learn.no_bar())
        for context in (learn.no_logging(), learn.no_mbar(), learn.added_cbs(cbs), *(() if inner else (learn,))):
            held.enter_context(context)
        yield


def _pads(dl: Any) -> Mapping[str, int]:
    """Return what pads each input."""
    is_padded = isinstance(dl, RowsDL) and isinstance(dl.create_batch, PaddingCollator)
    return dl.create_batch.pad_values if is_padded else {}


def _joined(parts: Sequence[Any], name: str, pads: Mapping[str, int], dim: int) -> Any:
    """Concatenate what was gathered of each batch."""
    if not parts:
        return None
    if name == "inputs":
        return OneInput({key: _concatenated([part[key] for part in parts], pads.get(key, 0), dim) for key in parts[0]})
    return _concatenated(parts, IGNORED if name == "targets" else 0, dim)


def _concatenated(parts: Sequence[Any], value: float, dim: int) -> Any:
    """Concatenate batches, the second dimension padded to the longest."""
    if not isinstance(parts[0], torch.Tensor):
        return [row for part in parts for row in part]
    if parts[0].ndim < 2 or dim != 0:
        return torch.cat(list(parts), dim=dim)
    width = max(part.shape[1] for part in parts)
    rest = [0, 0] * (parts[0].ndim - 2)
    return torch.cat([pad(part, [*rest, 0, width - part.shape[1]], value=value) for part in parts])


def _reordered(values: Any, back: torch.Tensor) -> Any:
    if isinstance(values, dict):
        return OneInput({key: _reordered(each, back) for key, each in values.items()})
    return [values[i] for i in back.tolist()] if isinstance(values, list) else values[back]


def _where_targets_are(classes: Any, targets: Any) -> Any:
    """Put -100 where targets have it, so that reports do not count what is not learnt."""
    is_same = isinstance(classes, torch.Tensor) and classes.shape == targets.shape and not targets.is_floating_point()
    return torch.where(targets == IGNORED, IGNORED, classes) if is_same else classes


# -- rows as show_results shows them


class Shown(Callback):  # type: ignore[misc]
    """Keep, of each batch, its rows as `show_results` shows them, and their losses."""

    def before_validate(self) -> None:
        self.rows: Table = []

    def after_batch(self) -> None:
        inputs = {k: v.cpu() if isinstance(v, torch.Tensor) else v for k, v in self.xb[0].items()}
        predicted = decoded(self.learn, self.pred.detach().cpu())
        losses = loss_per_row(self.loss_func, self.pred, self.y).tolist()
        table = self.dl.show_rows(self.dl, inputs, self.y.cpu(), predicted)
        self.rows += [{**row, "loss": loss} for row, loss in zip(table, losses, strict=True)]


def interpret_shown(learn: Learner, dl: RowsDL) -> Table:
    """Describe each row of a loader as `show_results` shows it, for loaders without a task."""
    shown = Shown()
    with learn.no_bar():
        learn.validate(dl=dl, cbs=shown)
    return in_order(dl.get_idxs(), shown.rows)


def decoded(learn: Learner, logits: torch.Tensor) -> Any:
    """Return the classes that logits stand for, in the form of the targets, by the loss's activation and decodes."""
    return getcallable(learn.loss_func, "decodes")(getcallable(learn.loss_func, "activation")(logits))
