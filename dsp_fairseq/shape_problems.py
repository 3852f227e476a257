"""What is wrong with the shape of a Transformer: fairseq would not build it, or fail at the first sentence."""

from argparse import Namespace

from .errors import flag
from .options.types import number

_SIDES = ("encoder", "decoder")


def shape_problems(args: Namespace) -> list[str]:
    """One line for every option that no model can be computed with."""
    source, target = (getattr(args, f"{side}_embed_dim", None) for side in _SIDES)
    problems = []
    if getattr(args, "share_all_embeddings", False) and source != target:
        problems.append(
            f"--share-all-embeddings: needs one width, but --encoder-embed-dim is {source} and --decoder-embed-dim "
            f"{target}"
        )
    out = number(getattr(args, "decoder_output_dim", None))
    for option in ("share_all_embeddings", "share_decoder_input_output_embed", "tie_adaptive_weights"):
        if getattr(args, option, False) and out not in (None, target):
            problems.append(f"--decoder-output-dim {out}: {flag(option)} needs it to be --decoder-embed-dim, {target}")
    return problems
