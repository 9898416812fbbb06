"""A run written as a plain PyTorch script."""
