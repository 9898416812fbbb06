"""What is wrong with a run, and what may help."""
