"""Commands for the makers of the plugin: training, scores, icon, package."""
