"""The length of a training, against fairseq's own iterators."""

from types import SimpleNamespace

import pytest
from fairseq.data.iterators import CountingIterator, GroupedIterator
from hypothesis import given
from hypothesis import strategies as st

from dsp_fairseq.training.length import Length

BATCHES = st.lists(st.integers(1, 9), min_size=1, max_size=3)  # of each shard of the data
TOGETHER = st.lists(st.integers(1, 4), min_size=1, max_size=3)


def updates_of_fairseq(shards, together, epochs, limit, drops):
    """(epoch, batches of it done before) of every update, by the loop of ``fairseq-train``."""
    done = []
    for epoch in range(1, epochs + 1):
        batches = CountingIterator(range(shards[(epoch - 1) % len(shards)]))
        if drops:
            batches.take(batches.total - 1)
        freq = together[epoch - 1] if epoch <= len(together) else together[-1]
        before = 0
        for group in GroupedIterator(batches, freq, skip_remainder_batch=drops):
            if limit and len(done) >= limit:
                return done
            done.append((epoch, before))
            before += len(group)
    return done


@given(BATCHES, TOGETHER, st.integers(1, 5), st.sampled_from([None, 0, 1, 7]), st.booleans())
def test_it_is_what_fairseq_trains_and_as_much_is_left_at_every_update(shards, together, epochs, limit, drops):
    updates = updates_of_fairseq(shards, together, epochs, limit, drops)
    length = Length(limit, epochs, together, lambda epoch: shards[(epoch - 1) % len(shards)], drops)
    assert length.left() == len(updates)
    for update, (epoch, done) in enumerate(updates):
        assert length.left(update, epoch, done) == len(updates) - update


@pytest.mark.parametrize("update, left", [(0, 50), (20, 30), (60, 0)])
def test_without_epochs_no_batch_is_counted(update, left):
    nothing = SimpleNamespace()
    assert Length(50, None, [1], nothing).left(update, epoch=3) == left
    assert Length(None, 0, [1], nothing).left() is None
