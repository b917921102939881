"""Holds the demos, and starts Ikomia for them in a home folder of their own."""
