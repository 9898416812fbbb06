"""The learning rate and its schedules: planned, under way, and under a person's own factor."""
