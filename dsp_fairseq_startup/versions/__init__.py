"""What newer versions of Python and of libraries broke in fairseq 0.12.2 and in the hydra 1.0.7 that it needs."""
