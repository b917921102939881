"""Finds everything that a text names, and saves a picture of it."""

import numpy as np
from PIL import Image

from infer_segment_anything_3.engine import ConceptPrompt, Engine
from infer_segment_anything_3.examples import SCENE

engine = Engine.load("tiny_shapes")  # "sam3" for photographs
image = np.array(Image.open(SCENE).convert("RGB"))

result = engine.segment(image, ConceptPrompt(texts=("circle", "blue star"), thresholds=(None, 0.3)))
for instance in result.instances:
    name = result.class_names[instance.class_index]
    print(f"{name}: score {instance.score:.2f}, {instance.mask.area} px, box {instance.box_xyxy}")
result.save("segment_text.png", image)
