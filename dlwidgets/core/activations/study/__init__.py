"""Studies of one layer: ablation, top samples, attribution, film and spread over training."""
