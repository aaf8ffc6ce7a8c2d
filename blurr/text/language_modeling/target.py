"""Tokens as what a language model learns to give: the next one, or the ones that were hidden."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from fastai.learner import Learner

from blurr.config.annotations import Smoothing
from blurr.data.core import RawData
from blurr.loading.rows import IGNORED, EncodedRows, Table
from blurr.models.generation import OPTIONS
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target, weighted_cross_entropy
from blurr.targets.texts import blurr_generate
from blurr.text.language_modeling.causality import check_causal, check_packing
from blurr.text.language_modeling.filling import blurr_fill_mask
from blurr.text.language_modeling.metrics import score_tokens
from blurr.text.language_modeling.rows import rows_described
from blurr.training.inference import Result


@dataclass
class Tokens(Target):
    """A token for each position that has a target.

    Args:
        packing: Several texts stand in a row, none of which sees another.
        loss: `model` is the Hugging Face model's own, `cross_entropy` fastai's; `auto` is the model's own unless label
            smoothing is requested.
        label_smoothing: Share of the target that is spread over all tokens.
    """

    predicts: ClassVar[tuple[str, ...]] = ("tokens",)

    packing: bool = False
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        return score_tokens(learner.pred, learner.y)

    def describe(self, learner: Learner) -> Table:
        return described(learner)

    def per_row(self, given: Table, rows: EncodedRows, described: Table, roles: Sequence[str]) -> Table:
        return rows_described(given, rows.columns, described, roles)


@dataclass
class NextTokens(Tokens):
    """The token that follows each token."""

    options: ClassVar[Mapping[str, type]] = OPTIONS

    def model_config(self, raw: RawData) -> dict[str, Any]:
        return {"is_decoder": True}  # BERT and its kin would look at the tokens that they are to predict

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        if "train" in raw.splits:  # a trained model has been asked already
            check_causal(hf)
            if self.packing:
                check_packing(hf, causal=True)
        return weighted_cross_entropy(self.loss, None, self.label_smoothing)

    def predict(self, learner: Learner, items: Any, **options: Any) -> list[Result]:
        return blurr_generate(learner, items, **options)


@dataclass
class HiddenTokens(Tokens):
    """The tokens that masks stand for."""

    options: ClassVar[Mapping[str, type]] = {"n_preds": int}

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        if self.packing and "train" in raw.splits:
            check_packing(hf, causal=False)
        return weighted_cross_entropy(self.loss, None, self.label_smoothing)

    def predict(self, learner: Learner, items: Any, **options: Any) -> list[Result]:
        return blurr_fill_mask(learner, items, **options)


def described(learner: Learner) -> Table:
    """Describe the batch that the learner has just run as `show_results` shows it, with its counts and losses."""
    inputs = {"input_ids": learner.xb[0]["input_ids"].cpu()}
    predictions: torch.Tensor = learner.pred.argmax(-1).cpu()
    targets = learner.y.cpu()
    rows = learner.dls.train.show_rows(learner.dls.train, inputs, targets, predictions)
    known = (targets != IGNORED).sum(1).tolist()
    right = (predictions == targets).sum(1).tolist()
    nll = [float(losses.double().sum()) for losses in learner.decoded[0].losses.cpu().split(known)]
    counts = zip(known, right, nll, strict=True)
    return [
        {**row, "target_count": n, "right_count": k, "nll": loss}
        for row, (n, k, loss) in zip(rows, counts, strict=True)
    ]
