"""Callbacks of the group conf/callbacks, each in the file of its option's name."""
