"""Measures scores on held-out scenes, which training never saw.

A measure takes an engine, the seed of the scenes and their number, and returns scores by name.
"""
