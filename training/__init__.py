"""Fine-tunes SAM 3 on a COCO file: from corrected labels to an adapter that is better on them.

Needs neither Ikomia nor Qt; stands on ``labeling/`` (its COCO reader and its scores).
"""
