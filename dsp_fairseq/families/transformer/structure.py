"""Options that a training must have in common with the checkpoint whose weights it starts from."""

from argparse import Namespace

from ...errors import flag
from ..values import number

_OF_A_STACK = ("layers", "attention_heads", "embed_dim", "ffn_embed_dim", "normalize_before", "learned_pos")
# with another number of heads, activation or scale, weights of the same shape compute another function
STRUCTURE = (
    *(f"{stack}_{part}" for stack in ("encoder", "decoder") for part in _OF_A_STACK),
    *("decoder_input_dim", "decoder_output_dim", "share_all_embeddings", "share_decoder_input_output_embed"),
    *("no_token_positional_embeddings", "layernorm_embedding", "activation_fn", "no_scale_embedding"),
)


def structure_problems(args: Namespace, path: str, stored: Namespace) -> list[str]:
    """One line with every option in ``args`` that differs from the ``stored`` ones of the checkpoint ``path``.

    A checkpoint of another model than the Transformer has none of them, which is the one problem then.
    """
    if not hasattr(stored, "encoder_attention_heads"):
        name = getattr(stored, "arch", "another model")
        return [f"checkpoint {path}: is of {name}, whose weights do not fit {args.arch}; give one of a transformer"]
    names = [name for name in STRUCTURE if _value(args, name) != _value(stored, name) and hasattr(stored, name)]
    # a learned table has a row for each position; sinusoidal positions can be extended
    names += [
        f"max_{side}_positions"
        for stack, side in (("encoder", "source"), ("decoder", "target"))
        if _value(stored, f"{stack}_learned_pos")
        and _value(args, f"max_{side}_positions") != _value(stored, f"max_{side}_positions")
    ]
    if not names:
        return []
    different = ", ".join(f"{flag(name)} {getattr(args, name, None)} (there {getattr(stored, name)})" for name in names)
    return [f"{different}: the weights of {path} fit no other model; say the same as there"]


def _value(options: Namespace, name: str):
    """An option in comparable form: None for off, a number for text; sharing all embeddings implies sharing two."""
    if name == "share_decoder_input_output_embed" and getattr(options, "share_all_embeddings", None):
        return True
    return number(getattr(options, name, None)) or None
