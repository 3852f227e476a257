"""Checkpoints are untrusted files. This folder reads, checks, rewrites, prunes and averages them, and builds models."""
