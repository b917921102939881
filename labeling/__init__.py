"""Labels folders of images with SAM 3, in shards that a crash leaves complete; exports, scores.

Stands on :mod:`engine` alone. ``python -m infer_segment_anything_3.labeling label --help``.
"""
