"""Declares the version of the project, once for all of its doors."""

VERSION = "2.0.0"
