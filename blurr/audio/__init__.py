"""Sounds: what speech and audio models read, and the tasks that read it."""
