"""Binarised data and dictionaries: nothing damaged, mixed or overwritten."""
