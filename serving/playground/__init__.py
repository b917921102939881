"""Serves a page to click on, which calls the same ``/sam3/*`` as other clients."""
