"""ConfusionGrid: a 2 x 2 heatmap for each class, and a class in detail."""
