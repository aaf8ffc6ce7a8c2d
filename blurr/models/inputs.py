"""The contract of a modality: what core asks of texts, images or sounds, and of the processor before a model."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol

from transformers import PretrainedConfig, PreTrainedModel

from blurr.loading.rows import Batch, EncodedRows
from blurr.models.positions import Positions


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
