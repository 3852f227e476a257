"""Options of pruning: what they ask for, as one plan, and what is wrong with them."""
