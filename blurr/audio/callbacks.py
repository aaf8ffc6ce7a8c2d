"""What happens while a model learns to write down what it hears."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from fastai.callback.core import Callback

from blurr.audio.inputs import mask_in
from blurr.models.ctc import CTCLoss, real_frames
from blurr.models.losses import base_loss


class CountFrames(Callback):  # type: ignore[misc]  # fastai is not typed
    """Tells a `CTCLoss` the real frames of each batch."""

    def after_pred(self) -> None:
        loss = base_loss(self.learn.loss_func)
        if isinstance(loss, CTCLoss):
            inputs: Mapping[str, torch.Tensor] = self.xb[0]
            loss.frames = real_frames(self.model.hf_model, mask_in(inputs), self.learn.pred)


@runtime_checkable
class HasFeatureEncoder(Protocol):
    """A model of waves, whose convolutions make features of them."""

    def freeze_feature_encoder(self) -> None: ...


class FreezeFeatureEncoder(Callback):  # type: ignore[misc]
    """Keeps the convolutions of a pretrained model of waves as they are, whichever layers a schedule trains."""

    def before_train(self) -> None:
        if isinstance(self.model.hf_model, HasFeatureEncoder):
            self.model.hf_model.freeze_feature_encoder()
