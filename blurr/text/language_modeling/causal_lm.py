"""Language modelling: predict the next token of a text (causal), or the tokens that were hidden in it (masked)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from fastai.learner import Learner
from transformers import PretrainedConfig

from blurr.config.annotations import Count, Fraction, GenerationSettings, OpenFraction, Smoothing
from blurr.data.core import RawData, Schema
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.loading.rows import IGNORED, Batch, Table, TokenizedRows
from blurr.metrics.base import Metric
from blurr.models.objects import HFObjects
from blurr.targets.generation import OPTIONS
from blurr.targets.texts import BlearnerForGeneration
from blurr.tasks.base import Loss, Task, from_data, weighted_cross_entropy
from blurr.text.inputs import tokenize_texts
from blurr.text.language_modeling.causality import check_causal, check_packing
from blurr.text.language_modeling.chunking import (
    BLOCK,
    NO_WORD,
    Frame,
    Ids,
    pieces,
    plain_tokens,
    room_for,
    rows_of,
    separator_ids,
    special_ids,
    word_numbers,
)
from blurr.text.language_modeling.filling import blurr_fill_mask
from blurr.text.language_modeling.masking import Masking, MaskingCollator, ObjectiveName
from blurr.text.language_modeling.metrics import Perplexity, TokenAccuracy, score_tokens
from blurr.text.language_modeling.packing import first_position, packed
from blurr.text.language_modeling.rows import CausalCollator, rows_described, show_causal, show_masked
from blurr.text.language_modeling.samples import stories
from blurr.text.lengths import length_limit
from blurr.training.learner import Blearner, Result

NOTHING = (
    "The texts of a split hold nothing to learn from: they are blank, or shorter than two tokens. Check "
    "data.columns.text."
)
SCHEMA = Schema(required=("text",), optional=(), label=None, sample=stories)


class BlearnerForMaskedLM(Blearner):
    """A `Blearner` that finds the tokens which masks stand for."""

    def blurr_fill_mask(self, items: Any, **options: Any) -> list[Result]:
        """Fill the masks of one text or many; see `blurr.text.language_modeling.filling.blurr_fill_mask`."""
        return blurr_fill_mask(self, items, **options)

    def predict(self, items: Any, **options: Any) -> list[Result]:
        """Fill the masks of one text or many; see `blurr_fill_mask`."""
        return self.blurr_fill_mask(items, **options)


class BlearnerForLM(BlearnerForGeneration):
    """A `Blearner` that goes on with a text; `from_data` makes one, or a `BlearnerForMaskedLM`, in one line."""

    def decoded_predictions(self, batch: Any, **options: Any) -> Any:
        """Give the likeliest next token of each token of a batch, `(batch, sequence)`."""
        return Blearner.decoded_predictions(self, batch, **options)

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        text_attr: str = "text",
        *,
        lm_type: Literal["causal", "masked"] = "causal",
        block_size: int | None = None,
        chunk: bool = True,
        task_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body: a `BlearnerForLM`, or a `BlearnerForMaskedLM`.

        Args:
            data: a DataFrame, Dataset, DatasetDict, list of dicts, or the path of a file or folder; a column `is_valid`
                marks the validation rows.
            pretrained_model_name_or_path: Hub id or local folder.
            text_attr: column of the text.
            lm_type: `causal` or `masked`.
            block_size: longest row in tokens; `None` takes the model's limit.
            chunk: join the texts and cut them into blocks; `False` keeps one row per text.
            task_kwargs: the other fields of `CausalLM` or `MaskedLM`, such as `{"objective": "span"}`.
            options: `dblock_splitter`, `dl_kwargs`, `learner_kwargs`, `hf_kwargs`, as for
                `blurr.tasks.base.from_data`.

        Raises:
            InputError: `lm_type` is neither.
        """
        if lm_type not in LM_TYPES:
            raise InputError(f"lm_type={lm_type!r} is not one of {sorted(LM_TYPES)}.")
        task = LM_TYPES[lm_type](block_size=block_size, chunk=chunk, **(task_kwargs or {}))
        columns = {"text": text_attr}
        return from_data(
            task, data, pretrained_model_name_or_path, columns=columns, metrics=_default_metrics, **options
        )


def _default_metrics(config: PretrainedConfig) -> dict[str, Metric]:
    return {"perplexity": Perplexity(), "token_accuracy": TokenAccuracy()}


@dataclass
class CausalLM(Task):
    """Learn to go on with texts.

    Args:
        block_size: longest row in tokens; `None` takes the model's limit.
        chunk: join the texts of a split and cut them into blocks; `False` keeps one row per text, cut off at the end.
        packing: instead, put several texts into a row, none of which sees another; a longer one is cut.
        separator: stands between two texts, or at the end of one that is not joined: any text, `""` for nothing, or
            `auto`: the tokenizer's eos token, or its sep token.
        loss: `model` is the Hugging Face model's own, `cross_entropy` fastai's; `auto` is the model's own unless label
            smoothing is asked for.
        label_smoothing: share of the target that is spread over all tokens.
        generation: settings of generation, in the words of `transformers.GenerationConfig`; the model takes them over.
    """

    schema: ClassVar[Schema] = SCHEMA
    model_cls: ClassVar[str] = "AutoModelForCausalLM"
    predicts: ClassVar[str] = "tokens"
    usual_length: ClassVar[int | None] = BLOCK
    learner_cls: ClassVar[type[Blearner]] = BlearnerForLM
    show_rows = staticmethod(show_causal)
    options: ClassVar[Mapping[str, type]] = OPTIONS

    block_size: Count | None = BLOCK
    chunk: bool = True
    packing: bool = False
    separator: str = "auto"
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0
    generation: GenerationSettings = field(default_factory=lambda: {"max_new_tokens": 40})

    def model_config(self, raw: RawData) -> dict[str, Any]:
        return {"is_decoder": True}  # BERT and its kin would look at the tokens that they are to predict

    def tokenize(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        frame = Frame.of(hf.tokenizer)
        room = room_for(hf.tokenizer, self.block_size, frame)
        between = separator_ids(hf.tokenizer, self.separator, ("eos_token", "sep_token"))
        kept, texts = _without_blanks(rows["text"])
        parts: list[Ids] = plain_tokens(hf.tokenizer, texts, self.special_tokens)["input_ids"]
        if self.packing:
            parts = pieces([ids + between for ids in parts], room)
            ids = rows_of(parts, room, chunk=False, between=between, before=frame.before, after=[])
            return packed(_only({"input_ids": ids}, [len(row) > 1 for row in ids]), room + len(frame))
        if not self.chunk:
            parts = [ids + between if len(ids) + len(between) <= room else ids for ids in parts]
        ids = rows_of(parts, room, chunk=self.chunk, between=between, before=frame.before, after=[])
        columns: dict[str, list[Any]] = {"input_ids": ids} if self.chunk else {"input_ids": ids, "row": kept}
        return _only(columns, [len(row) > 1 for row in ids])

    def tokenize_items(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        """Keep the end of each prompt, and let an empty one begin as texts begin: after a separator."""
        frame = Frame.of(hf.tokenizer)
        limit = length_limit(hf.tokenizer, None)
        room = 0 if limit is None else limit - len(frame)
        given = plain_tokens(hf.tokenizer, rows["text"], self.special_tokens)["input_ids"]
        prompts = [frame.before + ids[-room:] for ids in given]
        between = separator_ids(hf.tokenizer, self.separator, ("eos_token", "sep_token"))
        return {"input_ids": [ids or between for ids in prompts]}

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        tokenizer = hf.tokenizer
        return CausalCollator(
            tokenizer.pad_token_id,
            padding_side=tokenizer.padding_side,
            pad_to_multiple_of=loader.pad_to_multiple_of,
            first_position=first_position(hf.model) if self.packing else 0,
        )

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        if "train" in raw.splits:  # a trained model has been asked already
            check_causal(hf)
            if self.packing:
                check_packing(hf, causal=True)
        return weighted_cross_entropy(hf, self.loss, None, self.label_smoothing)

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        return {"generation": self.generation}

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        return score_tokens(learner.pred, learner.y)

    def describe(self, learner: Learner) -> Table:
        return _described(learner, show_causal)

    def aligned(self, given: Table, rows: TokenizedRows, described: Table) -> Table:
        return rows_described(given, rows.columns, described, self.schema.roles)


@dataclass
class MaskedLM(Task):
    """Learn to find hidden tokens.

    Args:
        objective: what is hidden: `bert` single tokens, `whole_word` all tokens of a word, `span` runs of words;
            or a function of one's own, see `blurr.text.language_modeling.masking.Masking`.
        mask_prob: share of the tokens of each row that are hidden; special tokens and pads do not count.
        as_mask: share of these that the mask token stands for.
        as_random: share of these that a random token stands for; the rest stays as it is.
        block_size: see `CausalLM`, as for all that follow.
        chunk: join the texts of a split and cut them into blocks.
        packing: instead, put several texts into a row, none of which sees another.
        separator: stands between two texts; `auto` is the tokenizer's sep token, or its eos token.
        loss: `model`, `cross_entropy` or `auto`.
        label_smoothing: share of the target that is spread over all tokens.
    """

    schema: ClassVar[Schema] = SCHEMA
    model_cls: ClassVar[str] = "AutoModelForMaskedLM"
    predicts: ClassVar[str] = "tokens"
    usual_length: ClassVar[int | None] = BLOCK
    learner_cls: ClassVar[type[Blearner]] = BlearnerForMaskedLM
    show_rows = staticmethod(show_masked)
    options: ClassVar[Mapping[str, type]] = {"n_preds": int}

    objective: ObjectiveName | Callable[..., Any] = "bert"
    mask_prob: OpenFraction = 0.15
    as_mask: Fraction = 0.8
    as_random: Fraction = 0.1
    block_size: Count | None = BLOCK
    chunk: bool = True
    packing: bool = False
    separator: str = "auto"
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0

    def __post_init__(self) -> None:
        if self.as_mask + self.as_random > 1:
            raise InputError(
                f"task.as_mask={self.as_mask} and task.as_random={self.as_random} are shares of the hidden tokens; "
                "together they must not exceed 1."
            )

    def tokenize(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        frame = Frame.of(hf.tokenizer)
        room = room_for(hf.tokenizer, self.block_size, frame)
        between = separator_ids(hf.tokenizer, self.separator, ("sep_token", "eos_token"))
        kept, texts = _without_blanks(rows["text"])
        mask = [str(hf.tokenizer.mask_token)]
        encoded = plain_tokens(hf.tokenizer, texts, self.special_tokens, parsed=mask)
        parts, numbers = encoded["input_ids"], _apart(word_numbers(encoded, whole=self.objective != "bert"))
        if self.packing:
            parts, numbers = pieces(parts, room), pieces(numbers, room)
        joins = self.chunk and not self.packing
        ids = rows_of(parts, room, chunk=joins, between=between, before=frame.before, after=frame.after)
        bare = [[NO_WORD] * len(around) for around in (between, frame.before, frame.after)]
        words = rows_of(numbers, room, chunk=joins, between=bare[0], before=bare[1], after=bare[2])
        special = special_ids(hf.tokenizer)
        words = [np.where(np.isin(i, special), NO_WORD, w).tolist() for i, w in zip(ids, words, strict=True)]
        columns: dict[str, list[Any]] = {"input_ids": ids, "words": words}
        wanted = [max(row) > NO_WORD for row in words]
        if self.packing:
            columns = packed(_only(columns, wanted), room + len(frame))
            return {**columns, "number": list(range(len(columns["input_ids"])))}
        columns["number"] = list(range(len(ids)))
        return _only(columns if self.chunk else {**columns, "row": kept}, wanted)

    def example(self, hf: HFObjects, seed: int = 0) -> dict[str, Any]:
        """Make a text with a mask in it."""
        first, _, *rest = str(super().example(hf, seed)["text"]).split()
        return {"text": " ".join([first, str(hf.tokenizer.mask_token), *rest])}

    def tokenize_items(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        """Leave texts to predict on as they are: one row each, nothing hidden."""
        mask = [str(hf.tokenizer.mask_token)]
        return dict(tokenize_texts(hf.tokenizer, rows["text"], special_tokens=self.special_tokens, parsed=mask))

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        masking = Masking(self.objective, self.mask_prob, self.as_mask, self.as_random, loader.seed)
        return MaskingCollator(
            hf.tokenizer,
            masking,
            train=train,
            pad_to_multiple_of=loader.pad_to_multiple_of,
            first_position=first_position(hf.model) if self.packing else 0,
        )

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        if self.packing and "train" in raw.splits:
            check_packing(hf, causal=False)
        return weighted_cross_entropy(hf, self.loss, None, self.label_smoothing)

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        return score_tokens(learner.pred, learner.y)

    def describe(self, learner: Learner) -> Table:
        return _described(learner, show_masked)

    def aligned(self, given: Table, rows: TokenizedRows, described: Table) -> Table:
        return rows_described(given, rows.columns, described, self.schema.roles)


LM_TYPES: dict[str, Callable[..., Task]] = {"causal": CausalLM, "masked": MaskedLM}


def _without_blanks(texts: Sequence[str]) -> tuple[list[int], list[str]]:
    """Leave blank texts out, in which there is nothing to learn; give the numbers of the others, and these.

    Raises:
        InputError: all are blank.
    """
    kept = [i for i, text in enumerate(texts) if text.strip()]
    if not kept:
        raise InputError(NOTHING)
    return kept, [texts[i] for i in kept]


def _apart(numbers: list[Ids]) -> list[Ids]:
    """Number the words of all texts through, so that the last of one and the first of the next stay two words."""
    lengths = [len(row) for row in numbers]
    starts = np.cumsum([0, *lengths[:-1]]).tolist() if lengths else []
    return [[n if n == NO_WORD else n + start for n in row] for row, start in zip(numbers, starts, strict=True)]


def _only(columns: dict[str, list[Any]], wanted: list[bool]) -> dict[str, list[Any]]:
    """Keep the rows that have a target.

    Raises:
        InputError: there is none.
    """
    if not any(wanted):
        raise InputError(NOTHING)
    return {name: [v for v, w in zip(values, wanted, strict=True) if w] for name, values in columns.items()}


def _described(learner: Learner, show: Callable[..., Table]) -> Table:
    """Describe the batch that the learner has just run as `show_results` shows it."""
    inputs = {"input_ids": learner.xb[0]["input_ids"].cpu()}
    predictions: torch.Tensor = learner.pred.argmax(-1).cpu()
    targets = learner.y.cpu()
    rows = show(learner.dls.train, inputs, targets, predictions)
    known = (targets != IGNORED).sum(1).tolist()
    right = (predictions == targets).sum(1).tolist()
    nll = [float(losses.double().sum()) for losses in learner.decoded[0].losses.cpu().split(known)]
    counts = zip(known, right, nll, strict=True)
    return [
        {**row, "target_count": n, "right_count": k, "nll": loss}
        for row, (n, k, loss) in zip(rows, counts, strict=True)
    ]
