"""The command line ``infer-sam3``: one module for each subcommand, which calls a door and prints.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""
