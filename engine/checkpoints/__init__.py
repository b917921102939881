"""Weights: which models exist, where their files are found, and how they are loaded."""
