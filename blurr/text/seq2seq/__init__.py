"""Write texts from texts: summaries, translations."""
