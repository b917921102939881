"""Tracks objects through a video, a frame at a time: memory, association, sessions."""
