"""Other people's training loops, followed and steered by a session."""
