"""Measures time and memory and prints tables; see ``__main__`` for how to add a row."""
