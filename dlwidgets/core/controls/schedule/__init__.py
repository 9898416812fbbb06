"""The learning rate and its schedules."""
