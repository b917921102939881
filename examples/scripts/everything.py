"""Segments everything there is, without a prompt."""

import numpy as np
from PIL import Image

from infer_segment_anything_3.engine import Engine, EverythingPrompt
from infer_segment_anything_3.examples import SCENE

engine = Engine.load("tiny_shapes")
image = np.array(Image.open(SCENE).convert("RGB"))

result = engine.segment(image, EverythingPrompt(points_per_side=16, min_area_px=200))
print(result)
result.save("everything.png", image)
