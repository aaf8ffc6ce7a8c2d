"""Readers of file formats, and of lists that a cell holds as text: files in, rows out."""
