"""Choose the device that a model is computed on."""

import torch

from blurr.errors import InputError


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
