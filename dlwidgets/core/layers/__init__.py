"""A model as rows: its layers, shapes, parameters and costs, and what training does to each."""
