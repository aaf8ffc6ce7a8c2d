"""Tokens as a target: the next one, or the ones that were hidden."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from fastai.learner import Learner

from blurr.config.annotations import Smoothing
from blurr.data.core import RawData
from blurr.data.roles import beside
from blurr.loading.rows import IGNORED, EncodedRows, Table
from blurr.models.generation import OPTIONS
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target, weighted_cross_entropy
from blurr.targets.texts import blurr_generate
from blurr.text.language_modeling.causality import check_causal, check_packing
from blurr.text.language_modeling.filling import blurr_fill_mask
from blurr.text.language_modeling.metrics import TokenScores, score_tokens
from blurr.training.inference import Result


@dataclass
class Tokens(Target):
    """A token for each position that has a target.

    Args:
        packing: Rows hold several texts, none of which sees another.
        loss: `model` is the Hugging Face model's own, `cross_entropy` fastai's; `auto` is the model's own unless label
            smoothing is requested. Or a loss of fastai, torch or your own, see `blurr.models.losses.CustomLoss`.
        label_smoothing: Share of the target that is spread over all tokens.
    """

    predicts: ClassVar[tuple[str, ...]] = ("tokens",)
    is_causal: ClassVar[bool] = False  # whether the model must read from left to right

    packing: bool = False
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        if "train" in raw.splits:  # a trained model was checked when it was trained
            if self.is_causal:
                check_causal(hf)
            if self.packing:
                check_packing(hf, causal=self.is_causal)
        return weighted_cross_entropy(self.loss, None, self.label_smoothing)

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        return score_tokens(learner.pred, learner.y)

    def describe(self, learner: Learner) -> Table:
        """Describe rows as `show_results` shows them, with their counts of targets and their losses."""
        inputs = {"input_ids": learner.xb[0]["input_ids"].cpu()}
        predictions, targets = learner.pred.argmax(-1).cpu(), learner.y.cpu()  # both (batch, sequence)
        rows = learner.dls.train.show_rows(learner.dls.train, inputs, targets, predictions)
        counts = counted(learner.pred, learner.y, learner.decoded[0])
        return [{**row, **each} for row, each in zip(rows, counts, strict=True)]

    def per_row(self, given: Table, rows: EncodedRows, described: Table, roles: Sequence[str]) -> Table:
        """Put what was read beside its description; blocks of joined texts come from no single row."""
        if "row" not in rows.columns:
            return described
        return beside([given[int(row)] for row in rows.columns["row"]], described, roles)


def counted(logits: torch.Tensor, targets: torch.Tensor, scores: TokenScores) -> Table:
    """Return for each row its number of targets, how many are predicted right, and the sum of their losses.

    Args:
        logits: `(batch, sequence, vocabulary)`.
        targets: `(batch, sequence)`.
        scores: Of these.
    """
    known = (targets != IGNORED).sum(1).tolist()
    right = (logits.argmax(-1) == targets).sum(1).tolist()
    nll = [float(losses.double().sum()) for losses in torch.split(scores.losses.cpu(), known)]
    return [{"target_count": n, "right_count": k, "nll": loss} for n, k, loss in zip(known, right, nll, strict=True)]


@dataclass
class NextTokens(Tokens):
    """The token that follows each token."""

    options: ClassVar[Mapping[str, type]] = OPTIONS
    is_causal: ClassVar[bool] = True

    def model_config(self, raw: RawData) -> dict[str, Any]:
        return {"is_decoder": True}  # without it BERT and its kin look at the tokens that they are to predict

    def predict(self, learner: Learner, items: Any, **options: Any) -> list[Result]:
        return blurr_generate(learner, items, **options)


@dataclass
class HiddenTokens(Tokens):
    """The tokens behind masks."""

    options: ClassVar[Mapping[str, type]] = {"n_preds": int}

    def predict(self, learner: Learner, items: Any, **options: Any) -> list[Result]:
        return blurr_fill_mask(learner, items, **options)
