"""matplotlib Figures of what is computed below, drawn without pyplot."""
