"""Mends for BLEU and perplexity: a wrong number is corrected or refused."""
