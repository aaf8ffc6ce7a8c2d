"""What a notebook has besides the learners: runs, and reports in its pages."""
