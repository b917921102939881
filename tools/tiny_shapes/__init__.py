"""How the bundled ``tiny_shapes`` checkpoint is made: scenes, training, held-out scores."""
