"""Studies of one layer: ablation, top samples, attribution, film, spread."""
