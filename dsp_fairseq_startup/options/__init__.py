"""Mends for options on the command line, in YAML files and in checkpoints."""
