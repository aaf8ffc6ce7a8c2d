"""Connectionist temporal classification (CTC; Graves et al. 2006): its loss of each row, its frames, its best path."""

from typing import Any, Protocol, runtime_checkable

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from blurr.loading.rows import IGNORED
from blurr.models.auto import TABLES


@runtime_checkable
class CountsFrames(Protocol):
    """A model that tells how many frames it makes of so many samples, or of so many frames of a spectrum."""

    def _get_feat_extract_output_lengths(self, input_lengths: torch.Tensor) -> torch.Tensor: ...


@runtime_checkable
class CountsSubsampled(Protocol):
    """The same, by the name that models of subsampled spectra have for it."""

    def _get_subsampling_output_length(self, input_lengths: torch.Tensor) -> torch.Tensor: ...


def is_ctc(model: PreTrainedModel) -> bool:
    """Return whether a model says a token for each frame, and has no decoder that writes."""
    return type(model).__name__ in TABLES["AutoModelForCTC"].values()


def blank_of(config: Any) -> int:
    """Return the token of frames that say nothing: what a config calls so, or else the one that pads."""
    values = config.to_dict()
    return int(values["pad_token_id"] if values.get("blank_token_id") is None else values["blank_token_id"])


def frames_of(model: PreTrainedModel, lengths: torch.Tensor) -> torch.Tensor | None:
    """Return how many frames a model makes of inputs of these lengths, `(batch,)`; None where it does not tell."""
    if isinstance(model, CountsFrames):
        return model._get_feat_extract_output_lengths(lengths).long()
    if isinstance(model, CountsSubsampled):
        return model._get_subsampling_output_length(lengths).long()
    return None


def real_frames(model: PreTrainedModel, mask: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor:
    """Return how many frames of each row are not padding, `(batch,)`.

    Args:
        model: Made the logits.
        mask: Of its inputs, `(batch, length)`; None where it has none, and reads the padding.
        logits: `(batch, frames, tokens)`.
    """
    batch, frames = logits.shape[:2]
    known = None if mask is None else frames_of(model, mask.sum(1))
    if known is None and mask is not None:  # as large a share as of the inputs
        known = (mask.sum(1) * frames / mask.shape[1]).ceil().long()
    whole = torch.full((batch,), frames, device=logits.device)
    return whole if known is None else known.to(logits.device).clamp(max=frames)


def needed_frames(labels: torch.Tensor) -> torch.Tensor:
    """Return the fewest frames that can hold each row of tokens, `(batch,)`: a blank must part equal neighbours.

    Args:
        labels: `(batch, tokens)`, padded by -100.
    """
    real = labels != IGNORED
    repeats = (labels[:, 1:] == labels[:, :-1]) & real[:, 1:]
    return real.sum(1) + repeats.sum(1)


def best_paths(logits: torch.Tensor, frames: torch.Tensor, blank: int) -> list[list[int]]:
    """Return the tokens of the likeliest path of each row: repeats merged, blanks left out.

    Args:
        logits: `(batch, frames, tokens)`.
        frames: Real ones of each row, `(batch,)`.
        blank: The token of frames that say nothing.
    """
    best = logits.argmax(-1)
    changes = torch.ones_like(best, dtype=torch.bool)
    changes[:, 1:] = best[:, 1:] != best[:, :-1]
    real = torch.arange(best.shape[1], device=best.device) < frames[:, None]
    kept = changes & real & (best != blank)
    return [row[keep].tolist() for row, keep in zip(best.cpu(), kept.cpu(), strict=True)]


class CTCLoss:
    """The mean over rows of a row's CTC loss by its number of tokens, as torch's `mean`; an infinite one counts as 0.

    Args:
        blank: The token of frames that say nothing.
        reduction: `mean`, `sum` or `none`.

    Attributes:
        frames: Real ones of each row of the batch just run, `(batch,)`; None: all of them.
    """

    frames: torch.Tensor | None = None

    def __init__(self, blank: int, reduction: str = "mean") -> None:
        self.blank, self.reduction = blank, reduction

    def __call__(self, inp: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        lengths = (targ != IGNORED).sum(1)
        frames = torch.full_like(lengths, inp.shape[1]) if self.frames is None else self.frames
        scores = inp.float().log_softmax(-1).transpose(0, 1)  # (frames, batch, tokens)
        options: dict[str, Any] = {"blank": self.blank, "reduction": "none", "zero_infinity": True}
        with torch.backends.cudnn.flags(enabled=False):  # which has limits of its own on lengths
            values = functional.ctc_loss(scores, targ.clamp(min=0), frames, lengths, **options)
        values = values / lengths.clamp(min=1)
        return {"mean": values.mean, "sum": values.sum}.get(self.reduction, lambda: values)()

    def count(self, targ: torch.Tensor) -> int:
        """Return how much the loss of a batch counts among others: as many as it has rows."""
        return len(targ)

    least_divisor = 0.0

    def divisor(self, targ: torch.Tensor) -> torch.Tensor:
        """Return what the mean of a batch divides by: its rows."""
        return torch.tensor(float(len(targ)), device=targ.device)

    def activation(self, out: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of the tokens of each frame."""
        return out.softmax(-1)

    def decodes(self, out: torch.Tensor) -> torch.Tensor:
        """Return the likeliest token of each frame."""
        return out.argmax(-1)
