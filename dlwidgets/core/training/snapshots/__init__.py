"""States of a run, in memory and on disk, and its lines."""
