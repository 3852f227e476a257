"""Options of the command line, of YAML files and of checkpoints."""
