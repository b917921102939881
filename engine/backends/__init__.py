"""Other ways to compute parts of the model than PyTorch: converted, cached, run."""
