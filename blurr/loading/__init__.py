"""Encoded rows: kept on disk, put into batches of similar length, padded."""
