"""Postprocessing: from mask logits to masks, mask NMS and filters."""
