"""Learn to continue texts, or to find hidden tokens."""
