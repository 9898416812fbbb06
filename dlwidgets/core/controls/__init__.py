"""The controls of a run: each read, put in force, or rejected."""
