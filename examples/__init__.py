"""Things to run: the demo, and what it needs to start Ikomia in a home of its own."""
