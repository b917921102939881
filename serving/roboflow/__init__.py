"""Roboflow's SAM 3 HTTP API: what ``inference-sdk`` sends, and what it expects."""
