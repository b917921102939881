"""Finds hundreds of small things with tiles."""

import numpy as np
from PIL import Image

from infer_segment_anything_3.engine import ConceptPrompt, Engine
from infer_segment_anything_3.examples import CROWD

engine = Engine.load("tiny_shapes")
image = np.array(Image.open(CROWD).convert("RGB"))

kinds = ("circle", "star", "square", "triangle")
result = engine.segment(image, ConceptPrompt(texts=kinds, tiles="auto", overlap="best"))
print(f"{len(result.instances)} instances, {result.tile_grid} tiles: {result.count_by_class()}")
result.save("crowd_tiles.png", image)
