"""Choose the device that a model is computed on."""

import logging
import time

import torch

from blurr.errors import InputError

log = logging.getLogger(__name__)

HOPELESS = 0.5  # times as fast as in fp32 that matrices are multiplied in bf16; below, nothing is faster by it


def device_of(name: str | None = "auto") -> torch.device:
    """Return the device of a name.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, `mps`, …; `auto` and `None` take the accelerator where there is one, else the
            CPU.

    Raises:
        InputError: this machine has no such device.
    """
    if name in (None, "auto"):
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found or torch.device("cpu")
    there = devices()
    if name not in there:
        raise InputError(
            f"device={name} (--device) is not there. This machine has {', '.join(there)}. Choose one of them, or auto."
        )
    return torch.device(name)


def devices() -> list[str]:
    """Name the devices of this machine, each accelerator with and without its number."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    count = torch.accelerator.device_count() if found else 0
    return ["cpu", *([found.type] if found else []), *(f"{found.type}:{i}" for i in range(count) if found)]


def bf16_speed() -> float:
    """Return how many times as fast as in fp32 this CPU multiplies small matrices in bf16.

    Processors without instructions for it (avx512_bf16, amx_bf16, SVE) take up to a hundred times as long.
    """
    fp32 = torch.ones(64, 384), torch.ones(384, 384)
    bf16 = tuple(each.bfloat16() for each in fp32)
    seconds: dict[torch.dtype, float] = {}
    for _ in range(3):
        for one, other in (fp32, bf16):
            started = time.thread_time()
            torch.mm(one, other)
            taken = time.thread_time() - started
            seconds[one.dtype] = min(taken, seconds.get(one.dtype, taken))
    return seconds[torch.float32] / max(seconds[torch.bfloat16], 1e-9)


def warn_of_slow_bf16(device: torch.device) -> None:
    """Warn of a CPU on which bf16 costs time, where somebody has asked for it."""
    if device.type == "cpu" and (speed := bf16_speed()) < HOPELESS:
        log.warning(
            "This CPU multiplies matrices %.2g times as fast in bf16 as in fp32, which it has no instructions for: "
            "fp32 is faster here.",
            speed,
        )
