"""blurr: train, evaluate and track Hugging Face transformers with fastai, from one command line."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blurr.notebook.track import track as track

__version__ = "0.2.0"
DISTRIBUTION = "blurr-transformers"  # the name for pip: on PyPI, `blurr` is a package of somebody else


def __getattr__(name: str) -> Any:
    """Return `blurr.track`, which is loaded when it is asked for: it needs torch, and the command line does not."""
    if name == "track":
        from blurr.notebook.track import track

        return track
    raise AttributeError(f"module 'blurr' has no attribute {name!r}")
