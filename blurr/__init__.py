"""blurr: train, evaluate and track Hugging Face transformers with fastai, from one command line."""

__version__ = "0.2.0"
