"""Answer questions by spans of a context."""
