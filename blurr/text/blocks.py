"""Tasks as blocks of a `DataBlock`, under the names of blurr 1.x: the mid-level door to a notebook.

`DataBlock(blocks=(TextBlock(*hf), CategoryBlock), get_x=…, get_y=…)` makes the same loaders as the runner; rows are
encoded once, when the loaders are made.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from fastai.data.block import TransformBlock
from fastai.data.core import DataLoaders, Datasets
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from blurr.config.wording import in_words_of_notebook
from blurr.errors import InputError
from blurr.loading.dataloader import RowsDL
from blurr.loading.loader import Loader
from blurr.loading.rows import Batch, EncodedRows, Table
from blurr.models.inputs import positions_of
from blurr.models.objects import HFObjects
from blurr.tasks.base import Task, without_model
from blurr.text.language_modeling.causal_lm import LM_TYPES
from blurr.text.older import as_settings, without_fixed
from blurr.text.question_answering.task import QuestionAnswering
from blurr.text.samples import Samples
from blurr.text.seq2seq.summarization import Summarization
from blurr.text.token_classification.task import TokenClassification
from blurr.text.token_classification.words import label_ids


class TaskDL(RowsDL):
    """A loader of a task's rows, made from the samples of a `DataBlock`.

    Args:
        dataset: A fastai `Datasets`, encoded rows, or raw items to predict on.
        transform: The transform of its `TextBlock`.
        shuffle: The loader is for training.
        kwargs: As for `RowsDL`.
    """

    def __init__(
        self, dataset: Any = None, *, transform: "TaskTokenizeTransform", shuffle: bool = False, **kwargs: Any
    ) -> None:
        self.transform, task, hf = transform, transform.task, transform.hf
        own = {"tokenizer": hf.tokenizer, "encode": transform.encoded, "task": task}
        own["create_batch"] = task.collator(hf, Loader(), train=shuffle)
        rows = dataset if isinstance(dataset, EncodedRows) else transform.encoded(dataset)
        super().__init__(rows, shuffle=shuffle, **{**kwargs, **own})
        self.own |= {"transform": transform}


def _row(task: Task, sample: Sequence[Any]) -> dict[str, Any]:
    """Turn a sample `(x, y)` into a row under the task's roles.

    Raises:
        InputError: It lacks one of them.
    """
    schema, x = task.schema, sample[0]
    roles = [role for role in (*schema.required, *schema.optional) if role != schema.label]
    if not isinstance(x, Mapping):
        x = dict(zip(roles, x if isinstance(x, tuple) else (x,), strict=False))
    row = dict(x) if schema.label is None or len(sample) < 2 else {**x, schema.label: sample[1]}
    missing = [role for role in schema.required if role not in row]
    if missing:
        raise InputError(
            f"A sample for {type(task).__name__} lacks {missing}: it is {sample!r:.200}. Have get_x return "
            f"{tuple(r for r in schema.required if r != schema.label)} as a tuple or a dict, and get_y {schema.label}."
        )
    return row


class TaskTokenizeTransform:
    """Make the rows of a task; the `batch_tokenize_tfm` of a `TextBlock`.

    Args:
        hf_arch, hf_config, hf_tokenizer, hf_model: The result of `get_hf_objects`; the model is not kept.
        task: A task to use instead of one made from `options`.
        options: Fields of the task, such as `max_length`, and the arguments of blurr 1.x.
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
        with in_words_of_notebook():
            self.task = type(self).task_cls(**as_settings(options)) if task is None else task
            hf = HFObjects(hf_arch, hf_config, hf_tokenizer, hf_model, positions=positions_of(hf_model))
            self.task.check(hf)
        self.hf = without_model(hf)

    def encoded(self, samples: Any) -> EncodedRows:
        """Encode the samples of a `Datasets`, or raw items to predict on."""
        if not isinstance(samples, Datasets):
            return self.task.encoded_items(self.hf, samples)
        rows = [_row(self.task, sample) for sample in samples]
        with in_words_of_notebook():
            return self.task.encoded({role: [row[role] for row in rows] for role in (rows[0] if rows else ())}, self.hf)


class BatchTokenizeTransform(TaskTokenizeTransform):
    """Tokenize texts, or pairs of texts, to be classified.

    A text is a string, a tuple of two (a sentence pair), a list of words with `is_split_into_words`, or a dict whose
    key `text` holds one of these; other keys of the dict reach the batch, but not the model.

    Args:
        hf_arch, hf_config, hf_tokenizer, hf_model: The result of `get_hf_objects`.
        include_labels: Keep the target in the inputs, too, as `labels`, so that the model can compute its own loss.
        max_length: Longest result in tokens; `None` takes the tokenizer's limit.
        padding: `True` pads to the longest of the batch, `"max_length"` always to `max_length`.
        truncation: Cut texts that are longer.
        is_split_into_words: Texts are lists of words.
        tok_kwargs: Passed to `tokenize_texts`.
        labels: Names of the classes, where `get_y` returns their ids.
        options: Arguments of blurr 1.x that have one meaning today.
    """

    def __init__(
        self,
        hf_arch: str,
        hf_config: PretrainedConfig,
        hf_tokenizer: PreTrainedTokenizerBase,
        hf_model: PreTrainedModel,
        *,
        include_labels: bool = True,
        max_length: int | None = None,
        padding: bool | str = True,
        truncation: bool = True,
        is_split_into_words: bool = False,
        tok_kwargs: Mapping[str, Any] | None = None,
        labels: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        unknown = without_fixed(options)
        if unknown:
            raise InputError(f"BatchTokenizeTransform has no argument {sorted(unknown)}.")
        self.samples = Samples(
            label_names=None if labels is None else list(labels),
            max_length=max_length,
            include_labels=include_labels,
            padding=padding,
            is_split_into_words=is_split_into_words,
            tok_kwargs={"truncation": truncation, **(tok_kwargs or {})},
        )
        super().__init__(hf_arch, hf_config, hf_tokenizer, hf_model, task=self.samples)
        self.hf_arch, self.hf_config, self.hf_tokenizer = hf_arch, hf_config, hf_tokenizer

    def encoded(self, samples: Any) -> EncodedRows:
        return self.samples.encoded_items(self.hf, samples)

    def encodes(self, samples: list[Any]) -> Batch:
        """Turn samples into a batch `(inputs, targets)`."""
        rows = self.samples.encoded_samples(self.hf, samples)
        return self.samples.collator(self.hf, Loader(), train=False)([rows[i] for i in range(len(rows))])


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
    """Tokenize source texts, and target texts to write; see `Summarization`, or pass `task=Translation(…)`."""

    task_cls = Summarization


class TextBlock(TransformBlock):  # type: ignore[misc]  # fastai is not typed
    """A fastai block for texts as inputs of Hugging Face models.

    Args:
        hf_arch, hf_config, hf_tokenizer, hf_model: The result of `get_hf_objects`.
        batch_tokenize_tfm: Instead of these, a transform, such as that of another task.
        show_rows: Shows a batch; `None` takes the task's own function.
        batch_tokenize_kwargs: Passed to `BatchTokenizeTransform`, as `options` are.
        text_gen_kwargs: Changes nothing, as in blurr 1.x; give a learner `generation=`.
        options: Passed to `BatchTokenizeTransform`.

    Raises:
        InputError: Both are missing.
    """

    def __init__(
        self,
        hf_arch: str | None = None,
        hf_config: PretrainedConfig | None = None,
        hf_tokenizer: PreTrainedTokenizerBase | None = None,
        hf_model: PreTrainedModel | None = None,
        *,
        batch_tokenize_tfm: TaskTokenizeTransform | None = None,
        show_rows: Callable[..., Table] | None = None,
        batch_tokenize_kwargs: Mapping[str, Any] | None = None,
        text_gen_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        options |= batch_tokenize_kwargs or {}
        if batch_tokenize_tfm is None:
            if hf_arch is None or hf_config is None or hf_tokenizer is None or hf_model is None:
                raise InputError(
                    "TextBlock needs hf_arch, hf_config, hf_tokenizer and hf_model (NLP.get_hf_objects returns them), "
                    "or batch_tokenize_tfm."
                )
            batch_tokenize_tfm = BatchTokenizeTransform(hf_arch, hf_config, hf_tokenizer, hf_model, **options)
        shown = show_rows or type(batch_tokenize_tfm.task).show_rows
        super().__init__(dl_type=TaskDL, dls_kwargs={"transform": batch_tokenize_tfm, "show_rows": shown})


class Seq2SeqTextBlock(TextBlock):
    """A block for texts that an encoder reads; the texts to write come from `get_y`, with `noop` for their block.

    The arguments are those of `Seq2SeqBatchTokenizeTransform`.
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
        vocab: Names in the order of their ids; `None` takes those of the model's config.
        options: Arguments of blurr 1.x that have one meaning today.
    """

    def __init__(self, vocab: Sequence[str] | None = None, **options: Any) -> None:
        without_fixed(options)
        super().__init__(type_tfms=[] if vocab is None else [partial(label_ids, names=vocab)])


def first_blurr_tfm(dls: DataLoaders) -> TaskTokenizeTransform:
    """Return the transform of loaders made with `TextBlock`.

    Raises:
        InputError: They were not made with it.
    """
    if isinstance(dls.train, TaskDL):
        return dls.train.transform
    raise InputError("These DataLoaders hold no BatchTokenizeTransform; make them with blurr's TextBlock.")
