"""Mends for fairseq 0.12.2, and hydra 1.0.7 that it needs, with newer versions of Python and of libraries."""
