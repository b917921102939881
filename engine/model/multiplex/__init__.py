"""The tracker of SAM 3.1: up to 16 objects share one memory (Object Multiplex)."""
