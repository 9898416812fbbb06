"""TrainingPanel: the controls of a run."""
