"""`fairseq-generate`, `-interactive`, `-validate` and `-eval-lm`: every option does what it says, or is refused."""
