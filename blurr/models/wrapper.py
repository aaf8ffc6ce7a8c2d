"""Wrap a Hugging Face model for fastai: inputs, logits and attention."""

import inspect
import sys
from collections.abc import Mapping
from types import FunctionType
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import ModelOutput

from blurr.errors import InputError

# transformers' names in utils/output_capturing.py: of a hook, and of what says that a model has some
REMADE = "remade"  # of the state of a wrapper whose model cannot be pickled
CAPTURING, CAPTURES = "output_capturing_hook", "_output_capturing_hooks_installed"


class Remade(NamedTuple):
    """What a model is made of again: for models that cannot be pickled.

    Attributes:
        cls: Its class.
        config: Its config.
        weights: Parameters and buffers by name.
        trained: Names of the parameters that are trained.
        is_training: It is in training mode.
        adapter: peft's config of the adapter that is attached to it.
    """

    cls: type[PreTrainedModel]
    config: PretrainedConfig
    weights: Mapping[str, torch.Tensor]
    trained: frozenset[str]
    is_training: bool
    adapter: Any = None

    @classmethod
    def of(cls, model: PreTrainedModel, *, has_adapter: bool) -> Self:
        """Take a model apart."""
        trained = frozenset(name for name, parameter in model.named_parameters() if parameter.requires_grad)
        adapter = vars(model)["peft_config"]["default"] if has_adapter else None
        return cls(type(model), model.config, model.state_dict(), trained, model.training, adapter)

    def model(self) -> PreTrainedModel:
        """Make the model again."""
        made: Any = self.cls._from_config(self.config)  # type: ignore[no-untyped-call]
        if self.adapter is not None:
            from peft import inject_adapter_in_model

            inject_adapter_in_model(self.adapter, made)
        made.load_state_dict(self.weights, assign=True)
        for name, parameter in made.named_parameters():
            parameter.requires_grad_(name in self.trained)
        made.train(self.is_training)
        return made  # type: ignore[no-any-return]


class BaseModelWrapper(nn.Module):
    """Let a Hugging Face model take a batch as one dict, of which it reads the keys it knows.

    Args:
        hf_model: the model.
        output_hidden_states: ask for the hidden states; they are in `learn.blurr_model_outputs`.
        output_attentions: ask for the attentions; they are there, too.
        hf_model_kwargs: passed to every call of the model.
        fixed: names of the model's parameters that are never trained: those of the base of an adapter. `None` are those
            that ask for no gradient beside an adapter that somebody else has attached.
        base: checksum of that base, where it can be loaded again.

    Attributes:
        reads_pads: the model makes something else of a row beside a longer one, see `blurr.training.inference`.
        tried_length: of the longest row by which that was tried.
        has_loss: the model computes a loss of its labels itself.
        rounding: share of its largest logit by which the model's own arithmetic may move one from batch to batch.
    """

    reads_pads = False
    tried_length = 0
    has_loss = True
    rounding = 1e-3
    fixed: frozenset[str] = frozenset()
    base: str | None = None

    def __init__(
        self,
        hf_model: PreTrainedModel,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        hf_model_kwargs: Mapping[str, Any] | None = None,
        *,
        fixed: frozenset[str] | None = None,
        base: str | None = None,
    ) -> None:
        super().__init__()
        self.hf_model, self.base = hf_model, base
        self.fixed = fixed_beside_adapter(hf_model) if fixed is None else fixed
        self.options = {**without_cache(hf_model), **(hf_model_kwargs or {})}
        self.known = frozenset(inspect.signature(hf_model.forward).parameters)
        self.ask(hidden_states=output_hidden_states, attentions=output_attentions)

    def ask(self, *, hidden_states: bool = False, attentions: bool = False) -> None:
        """Request hidden states and attentions in each output."""
        asked = {"output_hidden_states": hidden_states, "output_attentions": attentions}
        self.options = {k: True for k, wanted in asked.items() if wanted} | self.options
        if attentions:
            self.hf_model.set_attn_implementation("eager")  # the fused implementations do not materialize them

    def __getstate__(self) -> dict[str, Any]:
        """Return what an export holds.

        A model that once returned hidden states has hooks that cannot be pickled; transformers installs them again
        where they are missing. One with parametrizations, such as the weight norm of wav2vec 2.0, cannot be pickled
        itself, but made again from its config and weights.
        """
        for module in self.hf_model.modules():
            hooks = module._forward_hooks
            named = {key: hook for key, hook in hooks.items() if isinstance(hook, FunctionType)}
            for key in [key for key, hook in named.items() if hook.__name__ == CAPTURING]:
                del hooks[key]
            vars(module).pop(CAPTURES, None)
        if not any(map(is_parametrized, self.hf_model.modules())):
            return vars(self)
        kept = {name: module for name, module in self._modules.items() if name != "hf_model"}
        return {**vars(self), "_modules": kept, REMADE: Remade.of(self.hf_model, has_adapter=bool(self.fixed))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        remade = state.pop(REMADE, None)
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if remade is not None:
            self.hf_model = remade.model()

    def trained_state(self) -> dict[str, torch.Tensor]:
        """Return the buffers, and the parameters that are not `fixed`, each once, by their names in `state_dict`."""
        seen, found = {id(each) for name, each in self.hf_model.named_parameters() if name in self.fixed}, {}
        for name, value in self.state_dict(keep_vars=True).items():
            if id(value) not in seen:
                seen.add(id(value))
                found[name] = value.detach().contiguous()
        return found

    def load_trained(self, state: Mapping[str, torch.Tensor]) -> None:
        """Load what `trained_state` has returned.

        Raises:
            ValueError: something is missing, or of another model.
        """
        expected = set(self.trained_state())
        if expected != set(state):
            raise ValueError(f"its weights are of another model: {sorted(expected.symmetric_difference(state))[:5]}")
        self.load_state_dict(state, strict=False)

    def forward(self, x: Mapping[str, Any]) -> ModelOutput:
        """Call the model; the batch is not changed."""
        given, main = {k: v for k, v in x.items() if k in self.known}, self.hf_model.main_input_name
        if main in given and given[main].is_floating_point():  # pixels and waves, for weights of 16 bits
            given[main] = given[main].to(self.hf_model.dtype)
        output: ModelOutput = self.hf_model(**given, **self.options, return_dict=True)
        if list(output) == ["last_hidden_state"] and output["last_hidden_state"].ndim == 2:  # PP-LCNet's logits
            return SequenceClassifierOutput(logits=output["last_hidden_state"])
        return output


def fixed_beside_adapter(model: PreTrainedModel) -> frozenset[str]:
    """Return the names of the parameters that ask for no gradient, but for those of an adapter; none without one."""
    loaded = sys.modules.get("peft.tuners.tuners_utils")  # who has attached an adapter has loaded it
    layers = [] if loaded is None else [m for m in model.modules() if isinstance(m, loaded.BaseTunerLayer)]
    own = {id(p) for m in layers for name, p in m.named_parameters() if not name.startswith("base_layer.")}
    named = model.named_parameters() if layers else ()
    return frozenset(name for name, p in named if not p.requires_grad and id(p) not in own)


def check_no_peft_model(model: object) -> None:
    """Refuse peft's model around a model, which a learner would not wrap.

    Raises:
        InputError: it is one.
    """
    loaded = sys.modules.get("peft")
    if loaded is not None and isinstance(model, loaded.PeftModel):
        raise InputError(
            "A Blearner trains the model that an adapter is attached to, not peft's PeftModel around it. Give "
            "model.get_base_model(), or let blurr attach it: from_data(…, adapter=lora(r=8))."
        )


def without_cache(hf_model: PreTrainedModel) -> dict[str, bool]:
    """Return the argument by which a model keeps no keys and values for a next token, which only generation asks for.

    Some cannot be trained with it: gradients flow into a state that changes in place (xLSTM), or there are no entries
    for layers that are run several times.
    """
    return {"use_cache": False} if "use_cache" in inspect.signature(hf_model.forward).parameters else {}


def logits_of(output: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits of an output in float32; those of start and end of a span side by side, `(batch, sequence, 2)`.

    Losses and metrics are computed from them; in 16 bits, as weights of 16 bits give them, neither can be.

    Raises:
        InputError: it has neither.
    """
    if "logits" in output:
        return output["logits"].float()
    if "start_logits" not in output:
        raise InputError(
            f"The model gives {sorted(output)}, and no logits. Heads that search by beams, such as "
            "XLNetForQuestionAnswering, do so: take the class whose name ends in Simple, as "
            "AutoModelForQuestionAnswering does."
        )
    return torch.stack([output["start_logits"], output["end_logits"]], dim=-1).float()


def has_batch_norm(model: nn.Module | None) -> bool:
    """Return whether the model normalizes by the other rows of a training batch."""
    return model is not None and any(isinstance(module, _BatchNorm) for module in model.modules())


def keep_frozen_statistics(model: nn.Module) -> None:
    """Have batch norms whose weights are frozen use their running statistics, and leave them as they are.

    In training mode each batch would move the statistics, and with them the outputs of a body that is to stay as it is.
    """
    for module in model.modules():
        weights = list(module.parameters(recurse=False)) if isinstance(module, _BatchNorm) else []
        if weights and not any(weight.requires_grad for weight in weights):
            module.eval()


Attention = Literal["eager", "sdpa", "flash_attention_2"]


def set_attention(model: PreTrainedModel, attention: Attention) -> None:
    """Set the attention implementation of a model.

    Args:
        model: Changed in place.
        attention: `eager` is written out in torch and returns attentions; `sdpa` is torch's fused kernel;
            `flash_attention_2` needs an Ampere GPU or newer, the package flash-attn, and bf16 or fp16.

    Raises:
        InputError: the machine or the architecture lacks it.
    """
    reason = "the architecture has one of its own"
    try:
        model.set_attn_implementation(attention)
    except (ImportError, ValueError) as error:
        reason = str(error).split("\n")[0]
    if model.config._attn_implementation != attention:
        raise InputError(
            f"model.attention={attention} is not available for {type(model).__name__} here: {reason} Set "
            f"model.attention=null, which is {model.config._attn_implementation} here."
        )
