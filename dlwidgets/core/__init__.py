"""What dlwidgets computes: torch and numpy in, arrays, frames and Figures out; no kernel, no widgets."""
