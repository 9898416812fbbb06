"""Tensors as small pictures: tiles, bars, matrices, thumbnails of inputs."""
