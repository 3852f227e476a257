"""Names of options of pruning that commands read without torch, which takes seconds to import."""

BUDGETS = ("heads_to_keep", "ffn_to_keep", "parameters_to_keep")  # options that say how much is kept
# options of the limits; a pruned checkpoint keeps them, so that pruning it further respects them
LIMITS = (
    *("prunable", "min_heads_per_block", "max_heads_per_block"),
    *("min_ffn_per_block", "max_ffn_per_block", "ffn_group"),
)
SWITCH = ("on", "off")  # values of an option whose default depends on the method
