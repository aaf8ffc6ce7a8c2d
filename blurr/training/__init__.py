"""How a model is trained: optimizers, learning rates, schedules, precision."""
