"""Reports, plots, comparisons, leaderboards and model cards, made of what a run has left in its folder."""
