"""What a model is made of: its layers, shapes, parameters and costs, and what training does to each."""
