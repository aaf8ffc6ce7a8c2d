"""Export a model as ONNX graphs, and run the graphs instead of its weights, unnoticed by what predicts with it."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from transformers import AutoConfig, GenerationConfig, PreTrainedModel

from blurr.errors import InputError, how_to_install, resource_error
from blurr.loading.rows import Inputs
from blurr.models.auto import auto_class
from blurr.models.ctc import is_ctc
from blurr.models.failures import UNREADABLE
from blurr.models.generation import generation_config
from blurr.models.inputs import ModalityInputs
from blurr.models.objects import HFObjects
from blurr.process.terminal import quiet

MANIFEST = "export.json"  # written by transformers: the graphs, their inputs and outputs
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
ENCODER, PREFILL, DECODE = "encoder", "prefill", "decode"
PLAIN = {"num_beams": 1, "num_return_sequences": 1, "do_sample": False}


def require_onnx() -> None:
    """Raise an InputError if a library of the extra `onnx` is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(f"ONNX needs {', '.join(missing)}. Install them: {how_to_install('onnx')}")


# -- out


def export_graphs(
    model: PreTrainedModel,
    inputs: Inputs,
    folder: Path,
    *,
    quantize: bool = False,
    one_size: bool = False,
    constants: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write the graphs of a model, for any batch size and length, with transformers' own exporter.

    A model that generates text becomes two or three graphs: the encoder if it has one, the first step, and a further
    step, which takes the keys and values of those before. Any other model becomes one graph.

    Args:
        model: the model, on the CPU.
        inputs: an example of its inputs, two rows; of texts, with several tokens.
        folder: gets the graphs, their weights and the config.
        quantize: store weights as 8-bit integers and compute with them (ONNX Runtime's dynamic quantization).
        one_size: the inputs of all rows have the size of the example's, such as pictures; only batches differ.
        constants: further arguments of every call of the model.

    Raises:
        InputError: the architecture cannot be exported.
    """
    require_onnx()
    from transformers.exporters.base import ExportedModel
    from transformers.exporters.configs import OnnxConfig
    from transformers.exporters.exporter_onnx import OnnxExporter
    from transformers.exporters.quantizers.quantizer_onnxruntime import OnnxRuntimeDynamicConfig, OnnxRuntimeQuantizer

    quantizer = OnnxRuntimeQuantizer(OnnxRuntimeDynamicConfig()) if quantize else None
    # a search for what else may differ takes a minute for some models
    shapes = {name: {0: torch.export.Dim.DYNAMIC} for name in inputs} if one_size else None
    config = OnnxConfig(dynamic=True, dynamic_shapes=shapes, quantizer=quantizer)
    if _writes(model):  # its further steps read what earlier ones keep
        constants = {name: value for name, value in constants.items() if name != "use_cache"}
    parts = {}
    try:
        with _quiet(), _called_with(model, constants):
            exporter = OnnxExporter()  # type: ignore[no-untyped-call]
            for name, (part, given) in _parts(model, inputs).items():
                parts[name] = exporter.export(part, given, config).components["model"]
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        failure = resource_error(error)
        if failure is not None:
            raise failure from error
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"transformers cannot export {type(model).__name__} to ONNX: {reason}") from error
    settings = model.generation_config if model.can_generate() else None
    ExportedModel(parts, "onnx", config=model.config, generation_config=settings).save_pretrained(folder)


def _writes(model: PreTrainedModel) -> bool:
    return model.can_generate() and not is_ctc(model)


def _parts(model: PreTrainedModel, inputs: Inputs) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return each graph's module with an example of its inputs.

    Raises:
        InputError: a decoder writes texts of something else than texts.
    """
    if not _writes(model):
        return {"model": (model, dict(inputs))}
    if model.main_input_name != "input_ids":
        raise InputError(
            f"{type(model).__name__} has a decoder that writes of {model.main_input_name}, which no ONNX graphs are "
            "made of; models of sounds that write by CTC can be exported. Serve this one as it is: blurr serve RUN"
        )
    from transformers.exporters.utils import decompose_for_generation

    mask = inputs["attention_mask"].clone()
    mask[0, -1 if model.config.is_encoder_decoder else 0] = 0  # without padding the graph would ignore its mask
    given = {"input_ids": inputs["input_ids"], "attention_mask": mask}
    # the exporter takes a length of one for a constant, so the decoder begins with several tokens
    begun = {"decoder_input_ids": inputs["input_ids"][:, :3]} if model.config.is_encoder_decoder else {}
    parts = decompose_for_generation(model, {**given, **begun}, generation_config=generation_config(model, PLAIN))
    encoder = {ENCODER: (model.get_encoder(), given)} if begun else {}
    return {**encoder, **parts}


@contextlib.contextmanager
def _called_with(model: Any, constants: Mapping[str, Any]) -> Iterator[None]:
    """Call a model with further arguments, of which its graph knows nothing."""
    if not constants:
        yield
        return
    forward = model.forward
    model.forward = partial(forward, **constants)
    try:
        yield
    finally:
        model.forward = forward


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' reports of their stages and versions."""
    # ONNX Runtime's quantization uses the root logger
    with quiet(None, "torch", "transformers", level=logging.ERROR), contextlib.redirect_stdout(io.StringIO()):
        yield


# -- in


def load_graphs(folder: Path, model_cls: str, inputs: ModalityInputs) -> HFObjects:
    """Load a model whose forward pass runs its graphs; it cannot be trained.

    It has the architecture's own class, with weights that are never used. So generation works as with the weights.

    Args:
        folder: written by `export_graphs`.
        model_cls: name of a transformers auto class.
        inputs: loads the processor.

    Raises:
        InputError: the folder is broken, or a library is missing.
    """
    require_onnx()
    try:
        runners = _runners(folder)
        config, processor = AutoConfig.from_pretrained(folder), inputs.load(str(folder))
        with torch.device("meta"):
            model = auto_class(model_cls).from_config(config)
        if model.can_generate():
            model.generation_config = GenerationConfig.from_pretrained(folder)
    except UNREADABLE as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"Cannot load the ONNX model of {folder}: {reason} Export it again.") from error
    model.to_empty(device="cpu")  # reserves memory, which takes none until it is written to
    if PREFILL in runners:
        _answer_in_steps(model, runners)
    else:
        model.forward = _answering(model.forward, runners["model"])
    return HFObjects(str(config.model_type), config, processor, model)


def _runners(folder: Path) -> Mapping[str, Callable[..., Any]]:
    from google.protobuf.message import DecodeError
    from onnxruntime import SessionOptions
    from onnxruntime.capi import onnxruntime_pybind11_state as problems
    from transformers.exporters.base import ExportedModel

    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # its default is all cores of the machine
    try:
        exported = ExportedModel.from_pretrained(folder, device="cpu", local_files_only=True, session_options=options)
    except (DecodeError, problems.Fail, problems.InvalidProtobuf, problems.InvalidGraph) as error:
        raise ValueError(str(error)) from error
    return exported.runners


def _answering(forward: Callable[..., Any], run: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a graph in the signature of `forward`, from which callers learn which inputs it takes."""

    @wraps(forward)
    def answer(**given: Any) -> Any:
        return run(**given)

    return answer


def _answer_in_steps(model: Any, runners: Mapping[str, Callable[..., Any]]) -> None:
    if ENCODER in runners:
        encoder = model.get_encoder()
        encoder.forward = _answering(encoder.forward, runners[ENCODER])

    def step(**given: Any) -> Any:
        if ENCODER in runners and given.get("encoder_outputs") is None:
            read = {name: given[name] for name in ("input_ids", "attention_mask")}
            given["encoder_outputs"] = runners[ENCODER](**read)
        kept = given.get("cache", given.get("past_key_values"))  # as transformers calls it from 5.24 on, and before
        before = 0 if kept is None else kept.get_seq_length()
        if ENCODER not in runners:
            given = _with_positions(given, before)
        return runners[DECODE if before else PREFILL](**given)

    model.forward = _answering(model.forward, step)


def _with_positions(given: dict[str, Any], before: int) -> dict[str, Any]:
    """Add the mask and the positions, which transformers leaves out if nothing is padded and a graph requires.

    Args:
        given: the decoder's inputs, with `input_ids` `(rows, tokens)` at least.
        before: number of tokens of each row that it has read in earlier steps.
    """
    rows, tokens = given["input_ids"].shape
    positions = torch.arange(before, before + tokens).expand(rows, -1)
    found = {"attention_mask": torch.ones(rows, before + tokens, dtype=torch.long), "position_ids": positions}
    return {**found, **{name: value for name, value in given.items() if value is not None}}
