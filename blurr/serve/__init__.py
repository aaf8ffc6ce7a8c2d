"""Use trained models: predict, evaluate, and answer requests."""
