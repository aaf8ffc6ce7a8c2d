"""Pictures: what vision models read, and the tasks that read it."""
