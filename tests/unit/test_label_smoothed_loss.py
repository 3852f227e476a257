import pytest
import torch
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from hypothesis import given
from hypothesis import strategies as st

from dsp_fairseq.criterions.label_smoothed_loss import label_smoothed_loss

PADDING = 1


@given(st.integers(1, 9), st.integers(2, 12), st.floats(0, 0.9), st.integers(0, 99))
def test_equals_fairseq(tokens, types, epsilon, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(tokens, types, generator=generator)
    target = torch.randint(0, types, (tokens,), generator=generator)
    results = []
    for ours in (True, False):
        leaf = logits.clone().requires_grad_()
        if ours:
            loss, nll = label_smoothed_loss(leaf, target, epsilon, PADDING)
        else:
            log_p = torch.log_softmax(leaf, dim=-1)
            loss, nll = label_smoothed_nll_loss(log_p, target, epsilon, ignore_index=PADDING)
        (3 * loss).backward()
        results.append((loss.detach(), nll.detach(), leaf.grad))
    for mine, theirs in zip(*results, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4, rtol=1e-5)


def test_half_precision_logits_get_half_precision_gradients():
    logits = torch.randn(3, 7, dtype=torch.bfloat16, requires_grad=True)
    loss, _ = label_smoothed_loss(logits, torch.tensor([2, 3, PADDING]), 0.1, PADDING)
    loss.backward()
    assert loss.dtype == torch.float32 and logits.grad.dtype == torch.bfloat16
    assert logits.grad[2].abs().sum() == 0


def test_a_second_backward_is_refused():
    logits = torch.randn(3, 7, requires_grad=True)
    loss, _ = label_smoothed_loss(logits, torch.tensor([2, 3, 4]), 0.1, PADDING)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        loss.backward()
