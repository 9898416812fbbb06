"""LayerTable: a model as a tree of its layers."""
