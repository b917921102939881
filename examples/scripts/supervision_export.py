"""Hands a result to Roboflow's supervision (pip install supervision)."""

import numpy as np
import supervision as sv
from PIL import Image

from infer_segment_anything_3.engine import ConceptPrompt, Engine
from infer_segment_anything_3.engine.export.supervision import to_detections
from infer_segment_anything_3.examples import SCENE

image = np.array(Image.open(SCENE).convert("RGB"))
result = Engine.load("tiny_shapes").segment(image, ConceptPrompt(texts=("star", "square")))

detections = to_detections(result)
print(len(detections), detections["class_name"])
drawn = sv.MaskAnnotator().annotate(image.copy(), detections)
Image.fromarray(drawn).save("supervision_export.png")
