"""Follows objects from frame to frame: one interface, and a tracker for each architecture."""
