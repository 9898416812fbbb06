"""What people hand over as data, as batches that can be resized, put back and read again."""
