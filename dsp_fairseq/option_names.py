"""Names of options of pruning that commands read without torch, which takes seconds to import."""

# options that say how much is kept
BUDGETS = ("heads_to_keep", "ffn_to_keep", "layers_to_keep", "parameters_to_keep")
COMPETING = BUDGETS[:2]  # those of the structures that a budget in parameters chooses from, where they have none
# options of the limits; a pruned checkpoint keeps them, so that pruning it further respects them
LIMITS = (
    *("prunable", "min_heads_per_block", "max_heads_per_block"),
    *("min_ffn_per_block", "max_ffn_per_block", "ffn_group"),
)
SWITCH = ("on", "off")  # values of an option whose default depends on the method
