"""Wrap Hugging Face models for fastai, train them, and predict with them."""
