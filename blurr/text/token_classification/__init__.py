"""Give each word of a text a tag."""
