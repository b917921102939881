"""The process around the model: host isolation, OpenMP, memory."""
