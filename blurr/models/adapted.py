"""Attach an adapter to a model: a few new weights that are trained, beside a base that stays as it is."""

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
import xxhash
from torch import nn
from transformers import PreTrainedModel

from blurr.errors import InputError, how_to_install
from blurr.models.adapter_targets import ALL_LINEAR, targets_of, trained_themselves
from blurr.models.quantizing import Quantize
from blurr.models.wrapper import BaseModelWrapper

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

log = logging.getLogger(__name__)
Kind = Literal["lora", "dora", "rslora", "pissa", "vera", "ia3"]
Numbers = Literal["float32", "bfloat16", "float16", "float64"]

SVD_STEPS = 16  # of PiSSA's fast singular value decomposition, as its authors recommend
OF_PEFT = "base_model.model."  # how peft begins the names of weights


@dataclass(frozen=True)
class AdapterOptions:
    """What `adapter` of a config asks for; see `blurr.models.adapters`.

    Attributes:
        kind: Name of the method.
        r: Rank of the matrices; None for a method that has none.
        alpha: The update is scaled by `alpha / r`, of rsLoRA by `alpha / sqrt(r)`.
        dropout: Share of its inputs that the adapter does not see in training.
        targets: `all-linear`, or the ends of the names of the modules that get an adapter.
        train: Regular expressions, searched in the names of weights that are trained themselves, besides the head.
        merge: Save the model with the adapter added to its weights.
    """

    kind: Kind
    r: int | None = None
    alpha: float | None = None
    dropout: float = 0.0
    targets: str | Sequence[str] = ALL_LINEAR
    train: Sequence[str] = ()
    merge: bool = True


@dataclass(frozen=True)
class Base:
    """The model below an adapter, so that it can be found again and told from another one.

    Attributes:
        name: Hub id, or folder.
        revision: Branch, tag or commit on the Hub.
        dtype: Type of its numbers, such as `float32`.
        checksum: Of its weights, without those that are saved with the adapter.
        quantize: See `blurr.models.quantizing`.
    """

    name: str
    revision: str | None
    dtype: Numbers
    checksum: str
    quantize: Quantize | None = None


@dataclass(frozen=True, eq=False)
class Adapter:
    """An adapter that is attached to a model.

    Attributes:
        options: What was asked for.
        peft: peft's model around the model.
        full: Names of the model's weights that are trained themselves.
        fixed: Names of those that are never trained.
        base: The model below; None if nothing of it could be loaded again.
        initial: Weights of an adapter that was cut out of the base (PiSSA), as they were at first.
    """

    options: AdapterOptions
    peft: "PeftModel"
    full: frozenset[str]
    fixed: frozenset[str]
    base: Base | None = None
    initial: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def kept_base(self) -> str | None:
        """The checksum of a base that can be loaded again as it is, so that what is trained is enough to go on."""
        return None if self.base is None or self.initial else self.base.checksum

    def wrapped(self) -> BaseModelWrapper:
        """Return the model as a learner takes it, which trains the adapter and leaves the base as it is."""
        model: Any = self.peft.get_base_model()
        return BaseModelWrapper(model, fixed=self.fixed, base=self.kept_base)

    @property
    def trained(self) -> int:
        """The number of weights that are trained."""
        named = self.peft.get_base_model().named_parameters()
        return sum(parameter.numel() for name, parameter in named if name not in self.fixed)

    def __str__(self) -> str:
        base = sum(parameter.numel() for parameter in self.peft.get_base_model().parameters())
        return f"{self.options.kind}, {self.trained:,} weights are trained ({self.trained / base:.2%} of {base:,})"


def attach(
    model: PreTrainedModel, options: AdapterOptions, *, new: Collection[str] | None, base: Base | None = None
) -> Adapter:
    """Attach an adapter to a model, which is changed in place.

    Args:
        model: The model; on torch's device `meta` only shapes are made.
        options: What to attach.
        new: Names of weights that the model's checkpoint did not give, which are trained themselves, like all that
            have a row for each label; None where that is not known: all above the body.
        base: The model as it can be found again; its checksum is filled in.

    Raises:
        InputError: peft is not installed, or the model has no such modules or weights.
    """
    peft = library()
    full = trained_themselves(model, options.train, new)
    if base is not None and base.quantize is not None:
        prepare_quantized(model)
    targets = targets_of(model, options.kind, options.targets, full)
    is_meta = model.device.type == "meta"
    if base is not None:
        base = replace(base, checksum=checksum_of(model, full))
    config = _config(peft, options, targets, is_meta=is_meta)
    with calling_peft(model), torch.device(model.device):
        made: Any = peft.get_peft_model(model, config, revision=base.revision if base else None)
    for name, parameter in model.named_parameters():
        if name in full:
            parameter.requires_grad_(True)
    fixed = frozenset(name for name, parameter in model.named_parameters() if not parameter.requires_grad)
    cut_out = options.kind == "pissa" and not is_meta
    initial = {k: v.detach().clone() for k, v in weights_of(made).items()} if cut_out else {}
    return Adapter(options, made, frozenset(full), fixed, base, initial)


def library() -> Any:
    """Return the library peft.

    Raises:
        InputError: it is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise InputError(f"adapter needs the library peft: {how_to_install('peft')}. Or set adapter=none.") from error
    return peft


def prepare_quantized(model: PreTrainedModel) -> None:
    """Keep in float32 what is not quantized, such as norms."""
    library().prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


@contextmanager
def calling_peft(model: PreTrainedModel) -> Iterator[None]:
    """Keep back peft's warnings on what blurr sees to, and a question that some models have no answer to.

    peft asks which weights are tied to the input embedding unless the config says that none are; models of pictures
    that have other weights tied, such as RT-DETR, raise an error.
    """
    config: Any = model.config
    ties = config.to_dict().get("tie_word_embeddings")
    if ties and not _embeds_tokens(model):
        config.tie_word_embeddings = False
    try:
        with _without_warnings():
            yield
    finally:
        if ties:
            config.tie_word_embeddings = ties


def _embeds_tokens(model: PreTrainedModel) -> bool:
    try:
        return model.get_input_embeddings() is not None
    except NotImplementedError:
        return False


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*vera_A and vera_B.*", category=UserWarning)
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out is set to False.*", category=UserWarning)
        warnings.filterwarnings("ignore", message=".*merge.*adapter.*tie_word_embeddings.*", category=UserWarning)
        yield


def _config(peft: Any, options: AdapterOptions, targets: list[str], *, is_meta: bool) -> "PeftConfig":
    """Return peft's config of an adapter."""
    if options.kind == "ia3":
        return peft.IA3Config(target_modules=targets, feedforward_modules=[])  # type: ignore[no-any-return]
    common: dict[str, Any] = {"r": options.r, "target_modules": targets}
    if options.kind == "vera":  # its projections are made again of the seed, which the config keeps
        with _without_warnings():
            return peft.VeraConfig(**common, vera_dropout=options.dropout, save_projection=False)  # type: ignore[no-any-return]
    special: dict[Kind, dict[str, Any]] = {
        "dora": {"use_dora": True},
        "rslora": {"use_rslora": True},
        "pissa": {} if is_meta else {"init_lora_weights": f"pissa_niter_{SVD_STEPS}"},
    }
    common |= {"lora_alpha": options.alpha, "lora_dropout": options.dropout, **special.get(options.kind, {})}
    return peft.LoraConfig(**common)  # type: ignore[no-any-return]


def checksum_of(model: nn.Module, without: Collection[str]) -> str:
    """Return a checksum of the weights of a model, but for some; of names, types and shapes, too."""
    found = xxhash.xxh3_128()
    for name, parameter in sorted(model.named_parameters()):
        if name not in without:
            found.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}".encode())
            found.update(parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


# -- what is saved of it


def weights_of(made: "PeftModel") -> dict[str, torch.Tensor]:
    """Return the weights of an adapter alone, by peft's names."""
    from peft.utils import get_peft_model_state_dict

    found: dict[str, torch.Tensor] = get_peft_model_state_dict(made, save_embedding_layers=False)
    return found


def merged(adapter: Adapter) -> PreTrainedModel:
    """Return a copy of the model with the adapter added to its weights; the model itself is not changed."""
    copied: Any = deepcopy(adapter.peft)
    with calling_peft(copied.get_base_model()):
        whole: PreTrainedModel = copied.merge_and_unload()
    return whole


def portable(adapter: Adapter) -> tuple["PeftConfig", dict[str, torch.Tensor]]:
    """Return config and weights of an adapter of the original base, as peft reads them.

    An adapter that was cut out of the base becomes one of twice the rank, which adds what training has changed:
    `s B A - s B0 A0 = s [B, -B0] [A; A0]`.
    """
    config: Any = deepcopy(adapter.peft.peft_config["default"])
    weights = weights_of(adapter.peft)
    if adapter.initial:
        pairs = ((name, weights[name], first) for name, first in adapter.initial.items())
        weights = {
            name: torch.cat([now, first], dim=0) if ".lora_A." in name else torch.cat([now, -first], dim=1)
            for name, now, first in pairs
        }
        config.init_lora_weights, config.r, config.lora_alpha = True, 2 * config.r, 2 * config.lora_alpha
    config.inference_mode = True
    model = adapter.peft.get_base_model()
    own = {f"{OF_PEFT}{name}": parameter for name, parameter in model.named_parameters() if name in adapter.full}
    return config, {name: value.detach().cpu().contiguous() for name, value in {**weights, **own}.items()}
