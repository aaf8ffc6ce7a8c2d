"""The documentation, and what makes its reference from the code."""
