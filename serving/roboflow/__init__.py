"""Implements Roboflow's SAM 3 HTTP API, for its client ``inference-sdk``."""
