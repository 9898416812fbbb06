"""What can be changed of a run: each wish read, put in force between two steps, or refused."""
