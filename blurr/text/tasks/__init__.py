"""One file per task: read it, and you know the task."""
