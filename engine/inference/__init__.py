"""Inference: image encoding, concepts, interactive objects, automatic masks, tiles."""
