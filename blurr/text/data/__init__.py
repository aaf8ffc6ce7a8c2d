"""From rows of text to batches of tensors."""

from blurr.process.setup import import_quietly

import_quietly()
