"""A model's layers: shapes, parameters, costs, and what training does to each."""
