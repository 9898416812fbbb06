"""Data as people hand it over, as batches to train on."""
