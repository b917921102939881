"""Ikomia's inputs as plain values: drawn points and boxes, detections."""
