"""Raw rows: read from any source, named by role, checked, and split."""
