"""What core asks of a modality and its processors, and the longest inputs that a model has positions for."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from blurr.loading.rows import Batch, EncodedRows

ABSOLUTE = re.compile(r"wpe|positions_embed|pos_embed|(char_|token_)?position_embeddings?|embed_positions?")
GROWS = frozenset({"fsmt"})  # its sinusoidal table grows with the text
TABLES = frozenset({"gptj", "codegen", "ctrl"})  # their tables are not nn.Embedding, and as long as the config says


@dataclass(frozen=True)
class Positions:
    """The longest inputs that a model has positions for; a longer one fails in its embeddings.

    Attributes:
        source: Longest input in tokens; `None` for no limit, as with relative or computed positions.
        target: Longest output of the decoder in tokens, if there is one.
    """

    source: int | None = None
    target: int | None = None


def positions_of(model: PreTrainedModel) -> Positions:
    """Find how many positions a model has, from its tables of position embeddings."""
    config = model.config
    if config.model_type in GROWS:
        return Positions()
    if config.model_type in TABLES:
        return Positions(config.max_position_embeddings)
    sizes: dict[bool, list[int]] = {False: [], True: []}
    for name, module in model.named_modules():
        *above, last = name.split(".")
        if isinstance(module, nn.Embedding) and ABSOLUTE.fullmatch(last):
            sizes[config.is_encoder_decoder and "decoder" in above].append(_usable(module, config))
    return Positions(min(sizes[False], default=None), min(sizes[True], default=None))


def _usable(table: nn.Embedding, config: PretrainedConfig) -> int:
    """Return how many rows of a position table can be used: RoBERTa starts after the padding row, BART at an offset."""
    first = vars(table).get("offset", 0) if table.padding_idx is None else table.padding_idx + 1
    named = config.to_dict().get("max_position_embeddings")
    rows: int = table.num_embeddings - first
    # Nystromformer and others leave two rows unused, which only the config shows
    return min(rows, named) if isinstance(named, int) and table.padding_idx is None else rows


class ModalityInputs(Protocol):
    """How a modality makes, trains and describes the processors of its models, and batches what they return.

    Attributes:
        rows_cls: Encoded rows that know the names of the modality's inputs.
    """

    rows_cls: ClassVar[type[EncodedRows]]

    def load(self, name: str, **options: Any) -> Any:
        """Load the processor of a checkpoint; `options` go to its `from_pretrained`."""
        ...

    def train(self, arch: str, corpus: Iterable[str], *, vocab_size: int, kind: str | None) -> Any:
        """Make the processor of a model from scratch.

        Args:
            arch: Hugging Face's name of the architecture.
            corpus: The texts of the training rows.
            vocab_size: Largest vocabulary to learn from them.
            kind: Class of the processor; `None` takes the architecture's own.
        """
        ...

    def scratch_config(self, processor: Any, sizes: Mapping[str, Any]) -> dict[str, Any]:
        """Fit a trained processor to a model of these sizes, and return the config values that it decides."""
        ...

    def fit(self, processor: Any, model: PreTrainedModel) -> None:
        """Make a loaded processor and its model agree, such as on a padding token."""
        ...

    def limit(self, processor: Any, config: PretrainedConfig, positions: Positions) -> None:
        """Have a processor make no longer rows than the model has positions for."""
        ...

    def describe(self, processor: Any) -> dict[str, Any]:
        """Return all that decides what a processor makes of a row, as plain values for the key of the cache."""
        ...

    def collator(self, processor: Any, pad_to_multiple_of: int | None) -> Callable[..., Batch]:
        """Return what makes a batch `(inputs, targets)` of encoded rows."""
        ...

    def before_batch(self, processor: Any, augment: Any) -> list[Callable[..., Any]]:
        """Return the transforms of the rows of a batch before the collator, in the process that makes it."""
        ...

    def after_batch(self, processor: Any, augment: Any) -> list[Callable[..., Any]]:
        """Return the transforms of a batch on its device; `augment` changes those of training at random."""
        ...

    def summary(self, processor: Any) -> dict[str, str]:
        """Return what the card of a model says of how rows are prepared: names and values, such as `size`."""
        ...


@runtime_checkable
class LearnsVocabulary(Protocol):
    """Inputs of models that write, of which a checkpoint may lack a vocabulary: one is learned from training texts."""

    def with_texts(self, corpus: Callable[[], Iterable[str]]) -> ModalityInputs:
        """Return inputs that know where the texts of the training rows are."""
        ...

    def vocabulary_config(self, processor: Any) -> dict[str, Any]:
        """Return the config values that a learned vocabulary decides; empty for a checkpoint's own."""
        ...
