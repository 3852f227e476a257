"""Scores of weights instead of units: block movement pruning (Lagunas et al., EMNLP 2021). Pure torch, no fairseq."""
