"""Checkpoints: untrusted files that are read, checked, built into models, rewritten, pruned and averaged."""
