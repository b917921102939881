"""Implements Label Studio's ML backend protocol: pre-annotation and interactive prompts."""
