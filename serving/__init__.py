"""Serves SAM 3 over HTTP to clients of Label Studio and Roboflow, and a page to click on.

Stands on ``engine/`` alone: neither Ikomia nor Qt is needed. What it needs beside the
engine is in ``requirements-serve.txt``.
"""
