"""What everything else stands on: words, trees of tensors, random states, history."""
