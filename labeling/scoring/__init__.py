"""Scores a model on a COCO data set: AP, cgF1, clicks."""
