"""Learn to answer in a chat."""
