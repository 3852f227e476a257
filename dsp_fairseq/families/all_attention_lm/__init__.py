"""The family of the All-attention language model."""
