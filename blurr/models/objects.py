"""Load or build a Hugging Face model and the processor before it."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from blurr.config.annotations import Vocab
from blurr.errors import InputError
from blurr.models.adapted import Adapter
from blurr.models.adapter_files import base_of, load_with_base
from blurr.models.auto import auto_class, from_checkpoint
from blurr.models.failures import readable, with_packages
from blurr.models.folders import check_folder
from blurr.models.groups import Groups
from blurr.models.heads import check_new, fit_head, head_of_another_task, in_stored_order
from blurr.models.inputs import LearnsVocabulary, ModalityInputs, Positions, positions_of
from blurr.models.quantizing import Quantize, check_quantize, quantization
from blurr.models.weights import REMEDY, Weights, choose_weights
from blurr.models.wrapper import Attention, set_attention
from blurr.process.terminal import quiet

log = logging.getLogger(__name__)
DType = Literal["auto", "float32", "bfloat16", "float16", "stored"]

CONFIG = "config.json"
WHERE = ("cache_dir", "revision", "trust_remote_code")  # what says where a config is, among what changes it
# blurr says what they would, in a line; the last one speaks because the first is asked not to
CHATTY = ("transformers.modeling_utils", "transformers.configuration_utils", "transformers.distributed.tensor_parallel")


@dataclass(frozen=True)
class HFObjects:
    """A model and its processor; unpacks as `arch, config, processor, model`, as in blurr 1.x.

    Args:
        arch: Hugging Face's name of the architecture, such as `bart`.
        config: Of the model.
        processor: What makes the model's inputs: a tokenizer, an image processor, a feature extractor.
        model: The model.
        weights: `pretrained` or `scratch`: what the weights really are.
        positions: The longest inputs that the model has positions for.
        stored: The type of numbers in which the checkpoint has its weights, such as `bfloat16`; `None` where it does
            not say, or the weights are from scratch.
        compact_embeddings: Train only the rows of the vocabulary that occur, see `blurr.training.embeddings`.
        shard: Each of several processes keeps a share of the weights, see `blurr.training.sharding`.
        new: Names of the model's parameters that the checkpoint did not give: a head made anew, say.
        groups: How its parameters are split into groups, see `blurr.models.groups.SPLITTERS`.
        adapter: What is trained beside the model's own weights, see `blurr.models.adapters`.
    """

    arch: str
    config: Any  # each architecture's config has attributes of its own, which no type tells
    processor: Any
    model: PreTrainedModel
    weights: str = "pretrained"
    positions: Positions = Positions()
    stored: str | None = None
    compact_embeddings: bool = True
    shard: bool = False
    new: frozenset[str] = frozenset()
    groups: Groups | None = "parts"
    adapter: Adapter | None = None

    @property
    def tokenizer(self) -> Any:
        """The processor, by the name that text models give it."""
        return self.processor

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read exports of versions before 0.2, which knew tokenizers alone."""
        self.__dict__.update({"processor" if name == "tokenizer" else name: value for name, value in state.items()})

    @property
    def label_names(self) -> list[str]:
        """Names of the labels, in the order of their ids."""
        return [self.config.id2label[i] for i in range(self.config.num_labels)]

    def __str__(self) -> str:
        adapter = "" if self.adapter is None else f" Adapter: {self.adapter}."
        return f"Model: {self.arch}, {self.weights}, {self.model.num_parameters():,} parameters.{adapter}"

    def __iter__(self) -> Iterator[Any]:
        return iter((self.arch, self.config, self.processor, self.model))


def load_objects(
    name: str,
    model_cls: Any,
    inputs: ModalityInputs,
    config: PretrainedConfig | None = None,
    *,
    config_kwargs: Mapping[str, Any] | None = None,
    processor_kwargs: Mapping[str, Any] | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    cache_dir: str | Path | None = None,
    dtype: DType = "auto",
    allow_missing: Sequence[str] = (),
    complete: bool = False,
) -> HFObjects:
    """Load a checkpoint from a local folder, the cache or the Hub.

    Args:
        name: Hub id or local folder.
        model_cls: The class whose `from_pretrained` makes the model, such as `AutoModelForSequenceClassification`.
        inputs: Loads the processor.
        config: Used as it is, except for `config_kwargs`.
        config_kwargs: Values of the config, such as `{"num_labels": 3}`. Labels that the checkpoint has, too, keep the
            order that they have there.
        processor_kwargs: Passed to the processor.
        model_kwargs: Passed to the model.
        cache_dir: Where downloads are kept.
        dtype: Of the weights, see `torch_dtype`.
        allow_missing: Regular expressions for tensors that the checkpoint lacks and that may be made anew, besides
            those of the head and the pooler.
        complete: Refuse any tensor that is missing or of another size, since the model will not be trained.

    Raises:
        InputError: nothing can be loaded from there, or weights are missing.
        ResourceError: the Hub does not answer, or memory or disk do not suffice.
    """
    # a head of another size is the normal case of fine-tuning: it is made anew, and `check_new` says so
    options = {"ignore_mismatched_sizes": not complete, "trust_remote_code": False, **(model_kwargs or {})}
    options = {"dtype": torch_dtype(dtype), "output_loading_info": True, **options}
    common = {"cache_dir": cache_dir, "trust_remote_code": options["trust_remote_code"]}
    values = dict(config_kwargs or {})
    if (Path(name) / CONFIG).is_file():
        check_folder(Path(name))
    with with_packages(name), readable(name, model_cls), quiet(*CHATTY, level=logging.ERROR):
        stored = AutoConfig.from_pretrained(name, **{k: v for k, v in {**common, **values}.items() if k in WHERE})
        values = in_stored_order(values, stored)
        if config is None:
            config = AutoConfig.from_pretrained(name, **{**common, **values})
        else:
            config.update(values)
        processor = inputs.load(name, **{**common, **(processor_kwargs or {})})
        config.update(_of_vocabulary(inputs, processor))
        base, options = base_of(Path(name)), {**options, "cache_dir": cache_dir}
        if base is None:
            model, info = from_checkpoint(model_cls, name, config=config, **options)
        else:
            model, info = load_with_base(Path(name), base, model_cls, config, **options)
    missing, resized = set(info["missing_keys"]), {key for key, *_ in info["mismatched_keys"]}
    check_new(model, missing | resized, name, allowed=allow_missing, complete=complete)
    theirs = head_of_another_task(model, stored)
    if complete and theirs is not None:
        raise InputError(
            f"The head of {name!r} is that of a {theirs}, not of a {type(model).__name__}: its answers would mean "
            "nothing. Choose the task that it was trained for, or train it (`blurr run`)."
        )
    new = missing | resized
    if "id2label" in values or "num_labels" in values:
        new |= fit_head(model, stored, missing=missing, resized=resized)
    inputs.fit(processor, model)
    return _described(inputs, processor, model, stored=stored, new=frozenset(new))


def _of_vocabulary(inputs: ModalityInputs, processor: Any) -> dict[str, Any]:
    return inputs.vocabulary_config(processor) if isinstance(inputs, LearnsVocabulary) else {}


def torch_dtype(dtype: DType) -> torch.dtype | Literal["auto"]:
    """Return the dtype of the weights.

    Args:
        dtype: `auto` is float32 whatever the checkpoint was stored in, since 16 bits round most training steps away;
            `stored` keeps the checkpoint's.
    """
    if dtype == "stored":
        return "auto"  # as transformers calls it
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(dtype, torch.float32)


def _described(
    inputs: ModalityInputs, processor: Any, model: PreTrainedModel, *, stored: PretrainedConfig | None, **known: Any
) -> HFObjects:
    """Return the record of a model, and limit its processor to what the model can read."""
    if model.loss_type is None:  # transformers takes this then, too, and warns that it does
        model.loss_type = "ForCausalLM"
    positions = positions_of(model)
    inputs.limit(processor, model.config, positions)
    dtype = None if stored is None or stored.dtype is None else str(stored.dtype).removeprefix("torch.")
    return HFObjects(
        **{"arch": str(model.config.model_type), **known},
        config=model.config,
        processor=processor,
        model=model,
        positions=positions,
        stored=dtype,
    )


# -- weights: pretrained where they can be had, from scratch where not


def build_model(
    name: str,
    *,
    model_cls: str,
    inputs: ModalityInputs,
    config: Mapping[str, Any],
    corpus: Callable[[], Iterable[str]],
    load_weights: bool,
    arch: str | None = None,
    weights: Weights = "auto",
    scratch: Mapping[str, Any] | None = None,
    scratch_tokenizer: str | None = None,
    scratch_vocab: Vocab = 4000,
    revision: str | None = None,
    dtype: DType = "auto",
    quantize: Quantize | None = None,
    allow_missing: Sequence[str] = (),
    attention: Attention | None = None,
    groups: Groups | None = "parts",
    compact_embeddings: bool = True,
    shard: bool = False,
    config_kwargs: Mapping[str, Any] | None = None,
    tokenizer_kwargs: Mapping[str, Any] | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
) -> HFObjects:
    """Build processor, config and model as `model=` of the configuration asks for.

    Args:
        name: Hub id or local folder of the checkpoint.
        model_cls: name of a transformers auto class, given by the task; see `blurr.models.auto`.
        inputs: of the task's modality; makes the processor.
        config: values that the task asks for, such as the label names.
        load_weights: `False` makes a model without memory for its weights, of which only the shapes can be read.
        corpus: gives the texts of the training split, to train the tokenizer of a model from scratch.
        arch: Hugging Face's name of the architecture; `None` takes it from the checkpoint.
        weights: `pretrained` loads the checkpoint or stops; `scratch` builds a small model of the same architecture;
            `auto` takes the checkpoint where it can be had and otherwise falls back to scratch with a warning.
        scratch: sizes of the model from scratch, in the words of its Hugging Face config.
        scratch_tokenizer: class of the tokenizer from scratch; `None` takes the architecture's own.
        scratch_vocab: largest size of the vocabulary trained for a model from scratch.
        revision: branch, tag or commit on the Hub.
        dtype: of the weights in training and in what is saved: `float32` (which is `auto`), `bfloat16`, `float16`, or
            `stored`: as the checkpoint has them.
        quantize: load the base of an adapter in 4 or 8 bits, see `blurr.models.quantizing`.
        allow_missing: regular expressions for tensors that the checkpoint may lack, see `get_hf_objects`.
        attention: see `blurr.models.wrapper.set_attention`; `None` leaves the choice to transformers.
        groups: what is frozen together and has one learning rate: `layers`, `parts` (as in blurr 1.x), or `None`: body
            and head.
        compact_embeddings: train only the rows of the vocabulary that occur, see `blurr.training.embeddings`.
        shard: leave a share of the weights in each of several processes, see `blurr.training.sharding`.
        config_kwargs: the user's values of the config; they win.
        tokenizer_kwargs: passed to the processor.
        model_kwargs: passed to `from_pretrained`.

    Raises:
        InputError: the checkpoint or the attention is not available, and `weights` allows no model from scratch.
    """
    auto_cls = auto_class(model_cls)
    inputs = inputs.with_texts(corpus) if isinstance(inputs, LearnsVocabulary) else inputs
    at = {} if revision is None else {"revision": revision}
    values = {**config, **(config_kwargs or {})}
    tokenizer_values = {**at, **(tokenizer_kwargs or {})}
    chosen = choose_weights(name, weights, arch)
    if quantize is not None:
        check_quantize(quantize)
    device = nullcontext() if load_weights else torch.device("meta")
    if chosen == "pretrained" and load_weights:
        given_model = {**at, **(model_kwargs or {})}
        if quantize is not None:
            given_model["quantization_config"] = quantization(quantize, name, auto_cls, {**at, **values})
        hf = load_objects(
            name,
            auto_cls,
            inputs,
            config_kwargs={**at, **values},
            processor_kwargs=tokenizer_values,
            model_kwargs=given_model,
            dtype=dtype,
            allow_missing=allow_missing,
        )
    elif chosen == "pretrained" or Path(name).is_dir():
        with device:
            remote = {"trust_remote_code": (model_kwargs or {}).get("trust_remote_code", False)}
            given = {**remote, **at, **values}, {**remote, **tokenizer_values}
            hf = replace(_reinitialized(name, auto_cls, inputs, *given, dtype), weights=chosen)
    elif arch is not None:
        processor = inputs.train(arch, corpus(), vocab_size=scratch_vocab, kind=scratch_tokenizer)
        with device:
            hf = _from_sizes(arch, auto_cls, inputs, processor, {**(scratch or {}), **values}, dtype)
    else:
        raise InputError(f"model={name!r} cannot be reached to learn its architecture. {REMEDY}")
    if attention is not None:
        set_attention(hf.model, attention)
    if hf.model.dtype != torch.float32:
        log.warning("Weights are trained in %s: steps that are small beside a weight are rounded away.", hf.model.dtype)
    # an embedding whose rows are shared out cannot be made compact
    return replace(hf, compact_embeddings=compact_embeddings and not shard, shard=shard, groups=groups)


# -- from scratch


def _from_sizes(
    arch: str, auto_cls: Any, inputs: ModalityInputs, processor: Any, values: Mapping[str, Any], dtype: DType
) -> HFObjects:
    """Make a model of these sizes with random weights."""
    config = AutoConfig.for_model(arch, **{**inputs.scratch_config(processor, values), **values})
    with with_packages(arch):
        model = auto_cls.from_config(config, trust_remote_code=False, **_dtype_of_new(dtype))
    return _described(inputs, processor, model, stored=None, arch=arch, weights="scratch")


def _reinitialized(
    name: str,
    auto_cls: Any,
    inputs: ModalityInputs,
    values: Mapping[str, Any],
    processor_kwargs: Mapping[str, Any],
    dtype: DType,
) -> HFObjects:
    """Make a model with random weights, of the size and with the processor of a checkpoint."""
    if (Path(name) / CONFIG).is_file():
        check_folder(Path(name))
    with with_packages(name), readable(name, auto_cls), quiet(*CHATTY, level=logging.ERROR):
        stored = AutoConfig.from_pretrained(name, **{k: v for k, v in values.items() if k in WHERE})
        config = AutoConfig.from_pretrained(name, **in_stored_order(values, stored))
        processor = inputs.load(name, **processor_kwargs)
        config.update(_of_vocabulary(inputs, processor))
        remote = {"trust_remote_code": values["trust_remote_code"]}
        model = auto_cls.from_config(config, **remote, **_dtype_of_new(dtype))
    inputs.fit(processor, model)
    return _described(inputs, processor, model, stored=stored)


def _dtype_of_new(dtype: DType) -> dict[str, torch.dtype]:
    """Return the `dtype` argument of `from_config`, which otherwise takes the one that the config names."""
    known = torch_dtype(dtype)
    return {"dtype": known} if isinstance(known, torch.dtype) else {}
