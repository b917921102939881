"""A page to click on, which calls the same ``/sam3/*`` as everybody else."""
