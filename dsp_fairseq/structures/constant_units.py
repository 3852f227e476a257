"""Units whose output is the same for every input: which they are, and the bias that takes their place.

Movement pruning leaves zeros anywhere in the matrices of a block. Which of its units can be removed then follows from
the function of the block (Lagunas et al., EMNLP 2021, remove heads of which any matrix is 0, which changes the model):

* a head whose columns of the output projection are 0 adds nothing;
* a head whose rows of the value projection are 0 adds the same vector everywhere, its value bias times those columns,
  because attention weights sum to 1. Zero queries or keys only make its attention even;
* a hidden unit whose column of fc2 is 0 adds nothing;
* a hidden unit whose row of fc1 is 0 adds activation(its bias) times its column of fc2.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .ffn import FFN
from .heads import HEADS
from .inventory import Block, Inventory
from .surgery import weights_of

Activation = Callable[[Tensor], Tensor]


def fold_constant_units(
    state: Mapping[str, Tensor], inventory: Inventory, activation: Activation
) -> tuple[dict[str, Tensor], Tensor]:
    """Find the constant units of a model, and add what they add to the biases of their blocks.

    Returns the state dict with those biases, and the units that are not constant, bool [H]. Without the others that
    model computes what the model of ``state`` computes.
    """
    changed, varying = dict(state), []
    for block in inventory.blocks:
        if block.structure not in _ENDS or not block.units:
            varying.append(torch.ones(block.units, dtype=torch.bool))
            continue
        first, last = _ENDS[block.structure]
        weights = weights_of(state, block)
        into, bias, out = (
            weights[name].detach().double() for name in (f"{first}.weight", f"{first}.bias", f"{last}.weight")
        )
        dead_inputs = _units(into.eq(0).all(dim=1), block)
        dead_outputs = _units(out.eq(0).all(dim=0), block)
        varying.append(~(dead_inputs | dead_outputs))
        emitted = activation(bias) if block.structure == FFN.name else bias
        folded = out @ (emitted * dead_inputs.repeat_interleave(block.width))  # [D, units*width] @ [units*width]
        name = f"{block.module}.{last}.bias"
        if bool(folded.any()):
            changed[name] = (state[name].detach().double() + folded).to(state[name].dtype)
    return changed, torch.cat(varying)


# the first and the last matrix of a unit, by structure
_ENDS = {HEADS.name: ("v_proj", "out_proj"), FFN.name: ("fc1", "fc2")}


def _units(entries: Tensor, block: Block) -> Tensor:
    """The units all of whose entries are True: bool [units*width] -> bool [units]."""
    # [units*width] -> [units, width] -> [units]
    return entries.view(block.units, block.width).all(dim=1)
