"""Holds the commands of the plugin's developers: training, scores, icon, package."""
