"""What every task has in common, whatever it reads and whatever it learns to give."""
