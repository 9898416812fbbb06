"""The learning rate: schedules, those to come and the one under way, under the person's own factor."""
