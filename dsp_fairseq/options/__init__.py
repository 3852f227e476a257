"""The options of pruning: the plan that they describe, and the problems that they have."""
