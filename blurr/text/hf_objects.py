"""Build the four Hugging Face objects of an experiment: architecture, config, tokenizer and model."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from blurr.annotations import Vocab
from blurr.errors import InputError, ResourceError, chain, is_no_answer, resource_error
from blurr.text.attention import Attention, set_attention
from blurr.text.scratch import train_tokenizer
from blurr.text.weights import REMEDY, Weights, choose_weights

# What transformers lets through of a folder that is broken; RuntimeError where sizes do not fit.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, StrictDataclassError)


@dataclass(frozen=True)
class HFObjects:
    """What blurr knows of a model; unpacks as `arch, config, tokenizer, model`, as in blurr 1.x.

    Args:
        arch: Hugging Face's name of the architecture, such as `bart`.
        weights: `pretrained` or `scratch`: what the weights really are.
    """

    arch: str
    config: Any  # each architecture's config has attributes of its own, which no type tells
    tokenizer: PreTrainedTokenizerBase
    model: PreTrainedModel
    weights: str = "pretrained"

    @property
    def label_names(self) -> list[str]:
        """Names of the labels, in the order of their ids."""
        return [self.config.id2label[i] for i in range(self.config.num_labels)]

    def __str__(self) -> str:
        return f"Model: {self.arch}, {self.weights}, {self.model.num_parameters():,} parameters."

    def __iter__(self) -> Iterator[Any]:
        return iter((self.arch, self.config, self.tokenizer, self.model))


def get_hf_objects(
    pretrained_model_name_or_path: str | Path,
    model_cls: Any,
    config: PretrainedConfig | None = None,
    tokenizer_cls: Any = AutoTokenizer,
    *,
    config_kwargs: Mapping[str, Any] | None = None,
    tokenizer_kwargs: Mapping[str, Any] | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    cache_dir: str | Path | None = None,
) -> HFObjects:
    """Load a checkpoint from a local folder, the cache or the Hub.

    Args:
        pretrained_model_name_or_path: Hub id or local folder.
        model_cls: the class whose `from_pretrained` makes the model, such as `AutoModelForSequenceClassification`.
        config: used as it is; `config_kwargs` change it all the same.
        tokenizer_cls: the class whose `from_pretrained` makes the tokenizer.
        config_kwargs: values of the config, such as `{"num_labels": 3}`.
        tokenizer_kwargs: passed to the tokenizer.
        model_kwargs: passed to the model.
        cache_dir: where downloads are kept.

    Raises:
        InputError: nothing can be loaded from there.
        ResourceError: the Hub does not answer, or memory or disk do not suffice.
    """
    name = str(pretrained_model_name_or_path)
    # a head of another size is the normal case of fine-tuning: it is made anew, and transformers says so
    options = {"ignore_mismatched_sizes": True, "trust_remote_code": False, **(model_kwargs or {})}
    options["output_loading_info"] = True
    common = {"cache_dir": cache_dir, "trust_remote_code": options["trust_remote_code"]}
    with _readable(name, model_cls):
        if config is None:
            config = AutoConfig.from_pretrained(name, **{**common, **(config_kwargs or {})})
        else:
            config.update(dict(config_kwargs or {}))
        tokenizer = tokenizer_cls.from_pretrained(name, **{**common, **(tokenizer_kwargs or {})})
        model, info = model_cls.from_pretrained(name, config=config, cache_dir=cache_dir, **options)
    new = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
    if all(key in new for key, _ in model.named_parameters()):
        raise InputError(
            f"Cannot load a model from {name!r}: its weights are of another architecture than its config.json says "
            f"({config.model_type}). Take both from one checkpoint."
        )
    add_pad_token(tokenizer, model)
    return HFObjects(str(config.model_type), model.config, tokenizer, model)


@contextmanager
def _readable(name: str, model_cls: Any) -> Iterator[None]:
    """Say what is wrong with a checkpoint that transformers does not load.

    Raises:
        InputError: it is broken or of another kind.
        ResourceError: the Hub does not answer, or memory or disk do not suffice.
    """
    try:
        yield
    except UnpicklingError as e:  # torch's own words advise to run what is in it
        raise InputError(
            f"The weights of the model {name!r} are a pickle that holds more than numbers, which is not read: it would "
            "run whatever is in it. Take weights in the form safetensors."
        ) from e
    except UNREADABLE as e:
        failure = resource_error(e)
        if failure is not None:
            raise failure from e
        if any(map(is_no_answer, chain(e))):
            raise ResourceError(f"The Hugging Face Hub does not give the model {name!r}: {e} Try again later.") from e
        if "trust_remote_code" in str(e):
            raise InputError(
                f"The model {name!r} brings Python code of its own, which is not run. If you have read that code and "
                "trust it: +model.model_kwargs.trust_remote_code=true"
            ) from e
        raise InputError(
            f"Cannot load a model from {name!r} as {getattr(model_cls, '__name__', model_cls)}: {e} "
            "Give a Hub id, or a folder that save_pretrained wrote, of a model that can do this task."
        ) from e


def add_pad_token(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Give a tokenizer that has no pad token one of its own, and the model an embedding and an id for it."""
    if tokenizer.pad_token_id is None:
        tokenizer.add_special_tokens({"pad_token": "<pad>"})
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    model.config.pad_token_id = tokenizer.pad_token_id


class NLP:
    """The door to Hugging Face's models, under the name that blurr 1.x gave it."""

    get_hf_objects = staticmethod(get_hf_objects)

    @staticmethod
    def get_architectures() -> list[str]:
        """Names of all architectures that the installed transformers knows."""
        return sorted(CONFIG_MAPPING.keys())


# -- weights: pretrained where they can be had, from scratch where not


def build_model(
    name: str,
    *,
    model_cls: str,
    config: Mapping[str, Any],
    corpus: Callable[[], Iterable[str]],
    load_weights: bool,
    arch: str | None = None,
    weights: Weights = "auto",
    scratch: Mapping[str, Any] | None = None,
    scratch_tokenizer: str | None = None,
    scratch_vocab: Vocab = 4000,
    revision: str | None = None,
    attention: Attention | None = None,
    config_kwargs: Mapping[str, Any] | None = None,
    tokenizer_kwargs: Mapping[str, Any] | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
) -> HFObjects:
    """Build tokenizer, config and model as `model=` of the configuration asks for.

    Args:
        name: Hub id or local folder of the checkpoint.
        model_cls: name of a transformers auto class, given by the task.
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
        attention: see `blurr.text.attention.set_attention`; `None` leaves the choice to transformers.
        config_kwargs: the user's values of the config; they win.
        tokenizer_kwargs: passed to the tokenizer.
        model_kwargs: passed to `from_pretrained`.

    Raises:
        InputError: the checkpoint cannot be had and `weights` does not allow to do without it; or the attention cannot.
    """
    auto_cls = getattr(transformers, model_cls)
    at = {} if revision is None else {"revision": revision}
    values = {**config, **(config_kwargs or {})}
    tokenizer_values = {**at, **(tokenizer_kwargs or {})}
    chosen = choose_weights(name, weights, arch)
    device = nullcontext() if load_weights else torch.device("meta")
    if chosen == "pretrained" and load_weights:
        hf = get_hf_objects(
            name,
            auto_cls,
            config_kwargs={**at, **values},
            tokenizer_kwargs=tokenizer_values,
            model_kwargs={**at, **(model_kwargs or {})},
        )
    elif chosen == "pretrained" or Path(name).is_dir():
        with device:
            remote = {"trust_remote_code": (model_kwargs or {}).get("trust_remote_code", False)}
            hf = _reinitialized(name, auto_cls, {**remote, **at, **values}, {**remote, **tokenizer_values}, chosen)
    elif arch is not None:
        tokenizer = train_tokenizer(arch, corpus(), vocab_size=scratch_vocab, tokenizer=scratch_tokenizer)
        with device:
            hf = _from_sizes(arch, auto_cls, tokenizer, {**(scratch or {}), **values})
    else:
        raise InputError(f"model={name!r} cannot be reached to learn its architecture. {REMEDY}")
    if attention is not None:
        set_attention(hf.model, attention)
    return hf


# -- from scratch


def _from_sizes(arch: str, auto_cls: Any, tokenizer: PreTrainedTokenizerBase, values: Mapping[str, Any]) -> HFObjects:
    """Make a model with random weights, its special ids taken from the tokenizer."""
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "sep_token_id": tokenizer.sep_token_id,  # by which BigBird and Longformer find the question
        "decoder_start_token_id": tokenizer.bos_token_id or tokenizer.pad_token_id,
        "forced_eos_token_id": None,
    }
    known = {k: v for k, v in ids.items() if v is not None}
    config = AutoConfig.for_model(arch, vocab_size=len(tokenizer), **{**known, **values})
    model = auto_cls.from_config(config, trust_remote_code=False)
    tokenizer.model_max_length = int(values.get("max_position_embeddings", values.get("n_positions", 512)))
    return HFObjects(arch, model.config, tokenizer, model, "scratch")


def _reinitialized(
    name: str, auto_cls: Any, values: Mapping[str, Any], tokenizer_kwargs: Mapping[str, Any], weights: str
) -> HFObjects:
    """Make a model with random weights, of the size and with the tokenizer of a checkpoint."""
    with _readable(name, auto_cls):
        config = AutoConfig.from_pretrained(name, **values)
        tokenizer = AutoTokenizer.from_pretrained(name, **tokenizer_kwargs)
        model = auto_cls.from_config(config, trust_remote_code=values["trust_remote_code"])
    add_pad_token(tokenizer, model)
    return HFObjects(str(config.model_type), model.config, tokenizer, model, weights)
