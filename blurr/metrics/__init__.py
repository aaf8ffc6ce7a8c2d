"""Metrics: their interface, which way each is better, and what is to be said of a result."""
