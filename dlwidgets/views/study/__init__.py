"""The study below the maps: ablation, top samples, attribution, time."""
