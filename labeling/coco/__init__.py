"""Reads the COCO files that people bring: to score on, to prompt with, to train on."""

from .data_set import Category, CocoAnnotation, CocoDataSet, CocoImage
from .reader import parse_coco, read_coco

__all__ = [
    "Category",
    "CocoAnnotation",
    "CocoDataSet",
    "CocoImage",
    "parse_coco",
    "read_coco",
]
