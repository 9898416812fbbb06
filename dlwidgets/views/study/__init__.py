"""The study below the maps: ablation, top samples, attribution, the layer over time."""
