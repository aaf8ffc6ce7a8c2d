"""blurr: train, evaluate and track Hugging Face transformers with fastai, from one command line."""

__version__ = "0.2.0"
DISTRIBUTION = "blurr-transformers"  # the name for pip: on PyPI, `blurr` is a package of somebody else
