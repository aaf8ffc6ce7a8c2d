"""Learn to go on with texts, or to find hidden tokens."""
