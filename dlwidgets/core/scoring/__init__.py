"""What a model said of labelled samples, and how good that is at any threshold."""
