"""Decodes brush RLE with Label Studio's own converter, run by its Python.

Reads ``[[rle, [height, width]], ...]`` and writes COCO-like run lengths, both as JSON.
"""

import json
import sys

import numpy as np
from label_studio_sdk.converter.brush import decode_rle

runs = []
for rle, (height, width) in json.load(sys.stdin):
    flat = (np.reshape(decode_rle(rle), [height, width, 4])[:, :, 3] > 128).ravel()
    changes = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]])))
    runs.append(changes.tolist())
json.dump(runs, sys.stdout)
