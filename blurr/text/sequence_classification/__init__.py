"""Classify texts or pairs of texts."""
