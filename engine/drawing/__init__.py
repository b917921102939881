"""Draws results: one look for the plugin, the command line, the server, exports and videos."""
