"""The plugin's parameters: declared once, read from strings, validated."""
