"""Segments all images of a folder with one prompt; on a GPU several share a pass."""

from pathlib import Path

import numpy as np
from PIL import Image

from infer_segment_anything_3.engine import ConceptPrompt, Engine
from infer_segment_anything_3.examples import SCENE

paths = sorted(Path("images").glob("*.*")) or [SCENE]
images = [np.array(Image.open(path).convert("RGB")) for path in paths]

engine = Engine.load("tiny_shapes")
engine.prepare_texts(["circle", "square"])
results = engine.segment_batch(images, ConceptPrompt(texts=("circle", "square")))
for path, result in zip(paths, results, strict=True):
    print(path.name, result.count_by_class())
