"""Keras 3: all that the house knows of it, asked through `layers.framework`."""
