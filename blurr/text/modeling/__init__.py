"""Wrap Hugging Face models for fastai, train them, and predict with them."""

from blurr.process.setup import import_quietly

import_quietly()
