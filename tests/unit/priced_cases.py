"""Random units of unequal cost with limits, for the tests of the choice under a budget."""

import torch
from hypothesis import strategies as st

from dsp_fairseq.gates import gumbel_noise
from dsp_fairseq.gates.priced_units import PricedUnits


@st.composite
def priced_units(draw, largest=4, costs=(1, 2, 5, 7)):
    """Up to five blocks of up to ``largest`` units, with or without limits."""
    sizes = tuple(draw(st.lists(st.integers(0, largest), min_size=1, max_size=5).filter(sum)))
    prices = tuple(draw(st.sampled_from(costs)) for _ in sizes)
    if not draw(st.booleans()):
        return PricedUnits(sizes, prices)
    least = tuple(draw(st.integers(0, size)) for size in sizes)
    most = tuple(draw(st.integers(low, size)) for low, size in zip(least, sizes, strict=True))
    return PricedUnits(sizes, prices, least, most)


@st.composite
def priced_choices(draw, **arguments):
    """Units, a budget that they can have, logits and noise."""
    units = draw(priced_units(**arguments))
    budget = draw(st.integers(units.cost_of_floors, units.cost_of_caps))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 9999)))
    logits = torch.randn(sum(units.sizes), dtype=torch.float64, generator=generator)
    return units, budget, logits, gumbel_noise(sum(units.sizes), generator)


def per_block(units, gates):
    """Sum of the gates of each block."""
    return [float(piece.sum()) for piece in gates.detach().double().split(units.sizes)]


def cost_of(units, gates):
    return float((gates.detach().double() * torch.from_numpy(units.unit_costs)).sum())
