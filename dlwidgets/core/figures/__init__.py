"""matplotlib Figures of what is computed below: drawn without pyplot, so that any thread may draw them."""
