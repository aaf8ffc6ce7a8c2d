"""Hugging Face models: loading, checking, wrapping, losses."""
