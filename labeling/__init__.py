"""Labels folders of images with SAM 3, in shards that a crash leaves complete; exports, scores.

Stands on :mod:`engine` alone. The commands ``label``, ``export`` and ``score`` run it.
"""
