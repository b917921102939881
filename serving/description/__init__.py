"""Descriptions over HTTP: a language model that the operator names chooses among masks."""
