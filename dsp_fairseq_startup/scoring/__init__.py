"""BLEU and perplexity: the right figure, or none."""
