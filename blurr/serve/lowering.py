"""Load a trained model in a form that computes faster: in 16 bits, or with 8-bit integers."""

import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from blurr.errors import InputError
from blurr.models.devices import HOPELESS, bf16_speed, warn_of_slow_bf16
from blurr.serve.exporting import export
from blurr.serve.parity import parity
from blurr.serve.predictor import Precision, Predictor

Requested = Precision | Literal["auto"]
FASTER = 1.1  # times as fast that bf16 has to be for `auto`; what is below depends on the machine's other work
TIMED = 16  # rows that are predicted on to see that
ROUNDS = 3


def load_lowered(
    where: str | Path, *, precision: Requested | None = None, quantize: str | None = None, **options: Any
) -> tuple[Predictor, str]:
    """Load a model as `Predictor.load` does, in a precision, or with weights and arithmetic of 8 bits.

    Args:
        where: see `Predictor.load`.
        precision: see `Predictor.load`; `auto` takes bf16 on a CPU if it is faster there and has the same answers, and
            on a CUDA device that computes in it.
        quantize: `int8` exports the model to ONNX first, and computes on the CPU.
        options: of `Predictor.load`.

    Returns:
        The model, and what is to say of its form; an empty text if there is nothing.

    Raises:
        InputError: the model or the device cannot compute so.
    """
    if quantize is not None:
        if precision is not None or options.get("device") not in (None, "auto", "cpu"):
            raise InputError(
                "--quantize int8 computes on the CPU, with 8-bit integers. Leave out --precision, and --device or set "
                "it to cpu."
            )
        return _quantized(where, {**options, "device": "cpu"})
    if precision != "auto":
        predictor = Predictor.load(where, precision=precision, **options)
        if precision == "bf16":
            warn_of_slow_bf16(predictor.device)
        return predictor, ""
    return _fastest(where, options)


def _quantized(where: str | Path, options: Mapping[str, Any]) -> tuple[Predictor, str]:
    predictor = Predictor.load(where, **options)
    with TemporaryDirectory(prefix="blurr-int8-", ignore_cleanup_errors=True) as folder:
        made = Path(folder, "model")
        export(predictor, made, form="onnx", quantize=True)
        quantized = Predictor.load(made, **{**options, "words": ()})  # ONNX Runtime keeps its files open
        return quantized, f"int8; against fp32 on {parity(predictor, quantized)}"


def _fastest(where: str | Path, options: Mapping[str, Any]) -> tuple[Predictor, str]:
    plain = Predictor.load(where, **options)
    device = plain.device
    if device.type not in ("cpu", "cuda"):
        return plain, f"fp32: auto takes bf16 on a CPU or a CUDA device, not on {device}"
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return plain, f"fp32: {device} does not compute in bf16"
    speed = bf16_speed() if device.type == "cpu" else 1.0
    if speed < HOPELESS:
        return plain, f"fp32: this CPU multiplies matrices {speed:.2g} times as fast in bf16"
    half = Predictor.load(where, precision="bf16", **options)
    if device.type == "cuda":
        return half, f"bf16: {device} computes in it"
    seconds = [_seconds(each) for each in (plain, half)]
    times, found = seconds[0] / max(seconds[1], 1e-9), parity(plain, half)
    figures = f"bf16 is {times:.2f} times as fast here ({FASTER} at least are asked for); {found}"
    is_better = times >= FASTER and found.alike == found.rows
    return (half, f"bf16: {figures}") if is_better else (plain, f"fp32: {figures}, where all are asked for")


def _seconds(predictor: Predictor) -> float:
    """Return the shortest time in which a model answers some rows, of this thread."""
    items, taken = predictor.examples(TIMED), []
    for _ in range(ROUNDS):
        started = time.thread_time()
        predictor.predict_each(items)
        taken.append(time.thread_time() - started)
    return min(taken)
