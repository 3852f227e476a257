"""The parts that can be removed from a model: blocks, their units, and the slices of weights that each unit owns."""
