"""Labels folders of images with SAM 3: shards that survive a crash, exports, scores.

Stands on :mod:`engine` alone. ``python -m infer_segment_anything_3.labeling label --help``.
"""
