"""What a run's folder holds: the names of its files, whose they are, and whether they are as they were written."""
