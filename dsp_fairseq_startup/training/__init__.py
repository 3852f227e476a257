"""Mends for `fairseq-train`: wrong options are refused before the first update, and failures are told in one line."""
