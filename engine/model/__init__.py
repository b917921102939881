"""SAM 3's model: its sizes and its composition from the modules of the ``sam3`` package."""
