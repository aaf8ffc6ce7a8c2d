"""Trade time for memory: recompute activations in the backward pass instead of keeping them."""

from functools import partial

from fastai.callback.core import Callback
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from blurr.errors import InputError


class GradientCheckpointing(Callback):  # type: ignore[misc]  # fastai is not typed
    """Keep only the input of each layer during a fit (Chen et al. 2016, arXiv:1604.06174).

    Raises:
        InputError: before training, if the model does not support it.
    """

    def __init__(self) -> None:
        self.use_cache = False

    @staticmethod
    def supported(model: PreTrainedModel) -> bool:
        """Does a Hugging Face model support gradient checkpointing?"""
        return bool(model.supports_gradient_checkpointing)

    def before_fit(self) -> None:
        hf_model = self.model.hf_model
        if not self.supported(hf_model):
            raise InputError(
                f"{type(hf_model).__name__} does not support gradient checkpointing. Leave the callback "
                "gradient_checkpointing out, and make loader.batch_size or task.max_length smaller."
            )
        # the public method has different names in the supported versions of transformers; without use_reentrant=False
        # a frozen body would stop the gradients
        hf_model._set_gradient_checkpointing(
            enable=True, gradient_checkpointing_func=partial(checkpoint, use_reentrant=False)
        )
        # layers would fill their cache for generation twice; `generate` has a setting of its own
        self.use_cache = hf_model.config.to_dict().get("use_cache", False)
        hf_model.config.use_cache = False

    def after_fit(self) -> None:
        self.model.hf_model._set_gradient_checkpointing(enable=False)
        self.model.hf_model.config.use_cache = self.use_cache
