"""Doctor: what is wrong with a run, and what may help."""
