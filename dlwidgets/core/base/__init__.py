"""What everything else stands on: words, trees of tensors, random states, state, budgets, history."""
