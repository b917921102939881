"""Finds everything that looks like a box in one picture, in another picture."""

import numpy as np
from PIL import Image

from infer_segment_anything_3.engine import ConceptPrompt, Engine, ReferenceImage
from infer_segment_anything_3.examples import SCENE

engine = Engine.load("tiny_shapes")
shelf = np.array(Image.open(SCENE).convert("RGB"))
photo = np.ascontiguousarray(shelf[:, ::-1])  # stands for a picture of your own

prompt = ConceptPrompt(
    exemplars_xyxy=((75, 301, 168, 394),),  # a red circle of the shelf
    reference=ReferenceImage(shelf),
)
result = engine.segment(photo, prompt)
print(result)
result.save("exemplars.png", photo)
