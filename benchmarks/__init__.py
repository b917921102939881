"""Times, memory and counts, against the ``sam3`` package called directly: ``make bench``."""
