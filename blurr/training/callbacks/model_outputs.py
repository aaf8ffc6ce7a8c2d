"""Make a model return its hidden states and attentions, for callbacks that read them."""

from fastai.callback.core import Callback


class ModelOutputs(Callback):  # type: ignore[misc]  # fastai is not typed
    """Put hidden states and attentions into `learn.blurr_model_outputs`, for any callback to read from `after_pred` on.

    Args:
        hidden_states: one tensor `(batch, sequence, width)` for the embeddings and each layer.
        attentions: one tensor `(batch, heads, sequence, sequence)` per layer; needs a slower attention.
    """

    def __init__(self, hidden_states: bool = True, attentions: bool = False) -> None:
        self.hidden_states, self.attentions = hidden_states, attentions

    def after_create(self) -> None:
        self.model.ask(hidden_states=self.hidden_states, attentions=self.attentions)
