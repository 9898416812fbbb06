"""ActivationBrowser: what a layer makes of a sample."""
