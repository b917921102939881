"""Ikomia's inputs as plain values: the image, drawn points and boxes, detections."""
