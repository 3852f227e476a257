"""What can be removed from a model: blocks, their units, and the slices of weights that a unit owns."""
