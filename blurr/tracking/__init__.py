"""Record what a run was given, what it did and how it ended: in its folder, and in MLflow."""
