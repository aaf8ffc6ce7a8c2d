"""Tasks as blocks of a `DataBlock`, under the names of blurr 1.x: the mid-level door to a notebook.

`DataBlock(blocks=(TextBlock(batch_tokenize_tfm=QABatchTokenizeTransform(*hf)), noop), get_x=…, get_y=…)` gives loaders
by the same tokenize functions and collators as the runner's. Rows are tokenized once, when the loaders are made.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from fastai.data.block import TransformBlock
from fastai.data.core import Datasets
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from blurr.errors import InputError
from blurr.loading.dataloader import TextDL
from blurr.loading.loader import Loader
from blurr.loading.rows import Table, TokenizedRows
from blurr.models.objects import HFObjects
from blurr.models.positions import positions_of
from blurr.tasks.base import Task, encode_items, without_model
from blurr.text.blocks import TextBlock
from blurr.text.language_modeling.causal_lm import LM_TYPES
from blurr.text.question_answering.task import QuestionAnswering
from blurr.text.seq2seq.summarization import Summarization
from blurr.text.token_classification.task import TokenClassification
from blurr.text.token_classification.words import label_ids


class TaskDL(TextDL):
    """A loader of a task's rows, made of the samples of a `DataBlock`.

    Args:
        dataset: a fastai `Datasets`, tokenized rows, or raw items to predict on.
        task: says how rows are tokenized, batched and shown.
        hf: the tokenizer and the config.
        shuffle: this is for training.
        kwargs: as for `TextDL`.
    """

    def __init__(self, dataset: Any = None, *, task: Task, hf: HFObjects, shuffle: bool = False, **kwargs: Any) -> None:
        encode = partial(encode_samples, task, hf)
        own = {"tokenizer": hf.tokenizer, "show_rows": type(task).show_rows, "encode": encode}
        collator = task.collator(hf, Loader(), train=shuffle)
        super().__init__(encode(dataset), shuffle=shuffle, **{**kwargs, **own, "create_batch": collator})
        self.own |= {"task": task, "hf": hf}


def encode_samples(task: Task, hf: HFObjects, samples: Any) -> TokenizedRows:
    """Tokenize the samples of a `Datasets`, or raw items; leave tokenized rows as they are."""
    if isinstance(samples, TokenizedRows):
        return samples
    if not isinstance(samples, Datasets):
        return encode_items(task, hf, samples)
    rows = [_row(task, sample) for sample in samples]
    return task.encode({role: [row[role] for row in rows] for role in (rows[0] if rows else ())}, hf)


def _row(task: Task, sample: Sequence[Any]) -> dict[str, Any]:
    """Name what a sample `(x, y)` holds by the task's roles.

    Raises:
        InputError: it lacks one of them.
    """
    schema, x = task.schema, sample[0]
    roles = [role for role in (*schema.required, *schema.optional) if role != schema.label]
    if not isinstance(x, Mapping):
        x = dict(zip(roles, x if isinstance(x, tuple) else (x,), strict=False))
    row = dict(x) if schema.label is None or len(sample) < 2 else {**x, schema.label: sample[1]}
    missing = [role for role in schema.required if role not in row]
    if missing:
        raise InputError(
            f"A sample for {type(task).__name__} lacks {missing}: it is {sample!r:.200}. Have get_x give "
            f"{tuple(r for r in schema.required if r != schema.label)} as a tuple or a dict, and get_y {schema.label}."
        )
    return row


class TaskTokenizeTransform:
    """What a `TextBlock` takes as `batch_tokenize_tfm` to make the rows of a task.

    Args:
        hf_arch, hf_config, hf_tokenizer, hf_model: what `get_hf_objects` gave; all but the model is kept.
        task: any task, ready made, in place of this class's own.
        options: fields of the task, such as `max_length`.
    """

    task_cls: ClassVar[Callable[..., Task]]

    def __init__(
        self,
        hf_arch: str,
        hf_config: PretrainedConfig,
        hf_tokenizer: PreTrainedTokenizerBase,
        hf_model: PreTrainedModel,
        *,
        task: Task | None = None,
        **options: Any,
    ) -> None:
        self.task = type(self).task_cls(**options) if task is None else task
        hf = HFObjects(hf_arch, hf_config, hf_tokenizer, hf_model, positions=positions_of(hf_model))
        self.task.check_lengths(hf)
        self.hf = without_model(hf)

    def block_options(self, show_rows: Callable[..., Table]) -> dict[str, Any]:
        """Give what a `TransformBlock` needs; the task has its own way to show rows."""
        return {"dl_type": TaskDL, "dls_kwargs": {"task": self.task, "hf": self.hf}}


class TokenClassBatchTokenizeTransform(TaskTokenizeTransform):
    """Tokenize lists of words; see `TokenClassification`. The names of the labels are those of the model's config."""

    task_cls = TokenClassification


class QABatchTokenizeTransform(TaskTokenizeTransform):
    """Tokenize `(question, context)` with answers as in SQuAD for targets; see `QuestionAnswering`."""

    task_cls = QuestionAnswering


def _language_model(lm_type: Literal["causal", "masked"] = "causal", **options: Any) -> Task:
    return LM_TYPES[lm_type](**options)


class LMBatchTokenizeTransform(TaskTokenizeTransform):
    """Tokenize texts; see `CausalLM` and, for `lm_type="masked"`, `MaskedLM`."""

    task_cls = staticmethod(_language_model)


class Seq2SeqBatchTokenizeTransform(TaskTokenizeTransform):
    """Tokenize texts to read, and texts to write for targets; see `Summarization`, or give `task=Translation(…)`."""

    task_cls = Summarization


class Seq2SeqTextBlock(TextBlock):
    """A block for texts that an encoder reads; the texts to write come from `get_y`, with `noop` for their block.

    Args:
        hf_arch, hf_config, hf_tokenizer, hf_model, options: as for `Seq2SeqBatchTokenizeTransform`.
    """

    def __init__(
        self,
        hf_arch: str,
        hf_config: PretrainedConfig,
        hf_tokenizer: PreTrainedTokenizerBase,
        hf_model: PreTrainedModel,
        **options: Any,
    ) -> None:
        transform = Seq2SeqBatchTokenizeTransform(hf_arch, hf_config, hf_tokenizer, hf_model, **options)
        super().__init__(batch_tokenize_tfm=transform)


class TokenCategoryBlock(TransformBlock):  # type: ignore[misc]  # fastai is not typed
    """A block for lists of labels, names or ids, one for each word.

    Args:
        vocab: names in the order of their ids; `None` goes by the model's config.
    """

    def __init__(self, vocab: Sequence[str] | None = None) -> None:
        super().__init__(type_tfms=[] if vocab is None else [partial(label_ids, names=vocab)])
