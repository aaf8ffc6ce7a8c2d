"""Sweeps: many trials of one experiment, each in a process of its own, that go on where they were stopped."""
