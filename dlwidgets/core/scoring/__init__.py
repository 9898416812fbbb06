"""Scores of labelled samples, and how good they are at any threshold."""
