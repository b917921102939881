"""Results in the formats of other tools: COCO, polygons, RLE, supervision."""
