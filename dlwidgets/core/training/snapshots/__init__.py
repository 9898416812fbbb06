"""Going back: complete states of a run in memory and on disk, and the lines that are left behind."""
