"""Curves: losses, learning rate and gradient norm over the steps."""
