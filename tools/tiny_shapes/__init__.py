"""Makes the bundled ``tiny_shapes`` checkpoint: scenes, training, held-out scores."""
