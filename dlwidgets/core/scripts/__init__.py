"""A run written as a plain PyTorch script, and done again from its ledger."""
