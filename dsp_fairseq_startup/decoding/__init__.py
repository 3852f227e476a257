"""Mends for `fairseq-generate`, `-interactive`, `-validate` and `-eval-lm`: options take effect or are refused."""
