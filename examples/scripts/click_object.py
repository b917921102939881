"""Segments the one object under a click, then corrects it by a second click."""

import numpy as np
from PIL import Image

from infer_segment_anything_3.engine import Engine, ObjectPrompt, PromptedObject
from infer_segment_anything_3.examples import SCENE

engine = Engine.load("tiny_shapes")
image = np.array(Image.open(SCENE).convert("RGB"))

first = PromptedObject(points_xy=((469, 340),))
(found,) = engine.segment(image, ObjectPrompt((first,), return_logits=True)).instances
print(f"one click: {found.mask.area} px")

second = PromptedObject(
    points_xy=((469, 340), (532, 255)),
    point_labels=(1, 0),  # 0: the other circle is not part of it
    mask_input=found.low_res_logits,
)
result = engine.segment(image, ObjectPrompt((second,)))  # the image is not encoded again
print(f"two clicks: {result.instances[0].mask.area} px")
result.save("click_object.png", image)
