"""SAM 3 (Segment Anything Model 3) as an Ikomia plugin."""
