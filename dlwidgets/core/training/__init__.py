"""Training: the loop, the thread it runs on, its records."""
