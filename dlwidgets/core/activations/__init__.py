"""Activations of layers, and what can be shown of them."""
