"""FineTunePanel: what trains, at which rate, and from when on."""
