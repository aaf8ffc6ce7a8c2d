"""What the tests of malformed input share."""

from checkpoints import tiny_bert

__all__ = ["tiny_bert"]
