"""ConfusionGrid: a heatmap for each class, and a class in detail."""
