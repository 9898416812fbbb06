"""What can be changed of a run: each control read, put in force between two steps, or refused."""
