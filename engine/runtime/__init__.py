"""Controls the process around the model: host isolation, OpenMP, memory, steps."""
