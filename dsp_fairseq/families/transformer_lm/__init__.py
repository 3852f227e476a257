"""The family of fairseq's Transformer language model."""
