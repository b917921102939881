"""A run's result as Ikomia's outputs."""
