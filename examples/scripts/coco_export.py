"""Writes a result in COCO's terms, and reads it with pycocotools."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from infer_segment_anything_3.engine import ConceptPrompt, Engine
from infer_segment_anything_3.engine.export.coco import to_coco
from infer_segment_anything_3.examples import SCENE

image = np.array(Image.open(SCENE).convert("RGB"))
result = Engine.load("tiny_shapes").segment(image, ConceptPrompt(texts=("star",)))
data = to_coco(result, segmentation_format="polygon", file_name=SCENE.name)
Path("stars.json").write_text(json.dumps(data))

coco = COCO("stars.json")
print(len(coco.anns), coco.annToMask(coco.anns[1]).shape)
