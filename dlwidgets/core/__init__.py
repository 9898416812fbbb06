"""What dlwidgets computes, with no kernel and no widgets."""
