"""Taking heads out of weights, and putting zeros back in their place.

Pure functions of state dicts (names of fairseq's ``transformer``) and inventories. A head owns d
rows of the query, key and value projections (weight and bias) and d columns of the output
projection's weight; the output bias belongs to the block and stays. What is left computes exactly
what the masked block does (a head whose gate is 0 adds nothing).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .inventory import Block, Inventory

_ROWS = tuple(f"{projection}.{part}" for projection in ("q_proj", "k_proj", "v_proj") for part in ("weight", "bias"))
_COLUMNS = "out_proj.weight"
UNUSED = "unused"  # a parameter that models have whose weights are all frozen, and that nothing reads


def rows_of_heads(heads: Tensor, head_dim: int) -> Tensor:
    """Rows of a projection that belong to these heads: int64 [n] -> [n * head_dim].

    >>> rows_of_heads(torch.tensor([0, 2]), head_dim=3).tolist()
    [0, 1, 2, 6, 7, 8]
    """
    within = torch.arange(head_dim, device=heads.device)
    # [n, 1] + [d] -> [n, d] -> [n*d]
    return (heads.unsqueeze(1) * head_dim + within).reshape(-1)


def sliced_attention(weights: Mapping[str, Tensor], heads: Tensor, head_dim: int) -> dict[str, Tensor]:
    """The weights of one block (names without its prefix) with only these heads, int64 [n].

    Query, key and value [h*d, D] -> [n*d, D], their biases [h*d] -> [n*d], output [D, h*d] -> [D, n*d].
    Names that no head owns are left out.
    """
    rows = rows_of_heads(heads, head_dim)
    slices = {name: weights[name].index_select(0, rows) for name in _ROWS}
    slices[_COLUMNS] = weights[_COLUMNS].index_select(1, rows)
    return slices


def head_dim_of(state: Mapping[str, Tensor], block: Block) -> int:
    """d, the size of one head: what it was before any head was removed."""
    return state[f"{block.module}.out_proj.bias"].numel() // block.original_units


def remove_heads(state: Mapping[str, Tensor], before: Inventory, after: Inventory) -> dict[str, Tensor]:
    """The state dict of a model with the heads of ``before``, cut down to those of ``after``.

    Of the gates only the logits stay, those of the heads that are left: the search is over.
    """
    small = _without_gates(state)
    logits = []
    for old, new, old_logits in zip(
        before.blocks, after.blocks, state["gates.logits"].split(before.sizes), strict=True
    ):
        places = torch.tensor([old.indices.index(i) for i in new.indices], dtype=torch.int64)
        logits.append(old_logits.detach()[places])
        weights = {name: state[f"{old.module}.{name}"] for name in (*_ROWS, _COLUMNS)}
        slices = sliced_attention(weights, places, head_dim_of(state, old))
        small.update((f"{old.module}.{name}", tensor) for name, tensor in slices.items())
    return {**small, "gates.logits": torch.cat(logits)}


def fill_with_zeros(state: Mapping[str, Tensor], inventory: Inventory) -> dict[str, Tensor]:
    """The state dict of the stock ``transformer`` that computes the same: all heads there, zeros for removed ones."""
    full = _without_gates(state)
    for block in inventory.blocks:
        size = head_dim_of(state, block)
        rows = rows_of_heads(torch.tensor(block.indices, dtype=torch.int64), size)
        for name in (*_ROWS, _COLUMNS):
            tensor = full[f"{block.module}.{name}"]
            axis = 1 if name == _COLUMNS else 0
            shape = list(tensor.shape)
            shape[axis] = block.original_units * size
            full[f"{block.module}.{name}"] = tensor.new_zeros(shape).index_copy(axis, rows, tensor)
    return full


def _without_gates(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("gates.") and name != UNUSED}
