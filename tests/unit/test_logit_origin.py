"""What a checkpoint's numbers are called: by what was done to it, not by what it says of itself."""

import pytest
import torch
from tiny_checkpoints import checkpoint_of, masked_checkpoint, without_removed_heads
from tiny_models import build

from dsp_fairseq.checkpoints.logit_origin import ALIKE, LEARNED, LOG_ODDS, PRIOR, RANKS, origin_of
from dsp_fairseq.checkpoints.reading import kept_units_of
from dsp_fairseq.importance.checkpoints import decoding
from dsp_fairseq.models.gated_transformer import GatedTransformerModel


def untrained(method, **options):
    """As the first checkpoint of a training has it."""
    options = {"pruning_method": method, "heads_to_keep": "9", **options}
    return checkpoint_of(build(GatedTransformerModel, "post-norm", **options), **options)


def trained(state):
    """The same after an update has moved one of the logits."""
    state["model"]["gates.logits"] = state["model"]["gates.logits"].detach().clone()
    state["model"]["gates.logits"][0] += 0.05
    return state


def ranked(state):
    mask = kept_units_of(state).mask
    ranks = torch.argsort(torch.argsort(torch.rand(len(mask), generator=torch.Generator().manual_seed(3)) + mask))
    return decoding(state, build(GatedTransformerModel, "post-norm", pruning_method="none"), mask, ranks.double())


STATES = {
    "dsp": (lambda: trained(untrained("dsp")), LEARNED),
    "dsp, before its first update": (lambda: untrained("dsp"), PRIOR),
    "dsp with another prior, before its first update": (lambda: untrained("dsp", uniform_prior=1.5), PRIOR),
    "dsp-published": (lambda: untrained("dsp-published"), LEARNED),  # a random start cannot be told
    "dsp without a prior, before its first update": (lambda: untrained("dsp", uniform_prior=0.0), ALIKE),
    "l0": (lambda: trained(untrained("l0", l0_penalty=0.1)), LOG_ODDS),
    "l0, before its first update": (lambda: untrained("l0", l0_penalty=0.1), ALIKE),
    "uniform": (lambda: untrained("uniform"), PRIOR),
    "none": (lambda: untrained("none", heads_to_keep=None), PRIOR),
    "importance": (lambda: ranked(untrained("uniform")), RANKS),
}


@pytest.mark.parametrize("name", STATES)
def test_origin_of_a_checkpoint_before_and_after_prune(name):
    make, origin = STATES[name]
    state = make()
    assert origin_of(kept_units_of(state)) is origin
    after = LEARNED if origin is LOG_ODDS else origin  # prune forgets the method
    assert origin_of(kept_units_of(without_removed_heads(state))) is after


def test_logits_of_the_tests_own_checkpoint():
    assert origin_of(kept_units_of(masked_checkpoint())) is LEARNED


def test_only_what_was_found_in_data_ranks_units():
    assert [origin.ranks_units for origin in (LEARNED, LOG_ODDS, RANKS, PRIOR, ALIKE)] == [True] * 3 + [False] * 2
