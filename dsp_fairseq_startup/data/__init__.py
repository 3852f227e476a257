"""Mends for binarised data and dictionaries: damaged or mixed data are refused, and nothing is overwritten."""
