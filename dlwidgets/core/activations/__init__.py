"""What layers put out for samples, and what of it can be shown."""
