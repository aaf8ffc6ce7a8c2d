"""Tag each word of a text."""
