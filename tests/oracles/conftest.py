"""A tiny encoder for the metric that needs one."""

from checkpoints import tiny_bert

__all__ = ["tiny_bert"]
