import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsp_fairseq.gates import anneal_temperature, noise_scale, open_count


def test_temperature_is_log_linear_then_constant():
    assert anneal_temperature(0, 0.1, 1e-8, 100) == pytest.approx(0.1)
    assert anneal_temperature(50, 0.1, 1e-8, 100) == pytest.approx(math.sqrt(0.1 * 1e-8))
    assert anneal_temperature(100, 0.1, 1e-8, 100) == 1e-8
    assert anneal_temperature(10**6, 0.1, 1e-8, 100) == 1e-8


def test_no_cooldown_is_the_final_temperature_at_once():
    assert anneal_temperature(0, 0.5, 0.2, 0) == 0.2


@pytest.mark.parametrize("initial, final, cooldown", [(0.1, 0.2, 5), (0.1, 0, 5), (-1, -2, 5), (1, 1, -1)])
def test_bad_temperatures_are_refused(initial, final, cooldown):
    with pytest.raises(ValueError):
        anneal_temperature(0, initial, final, cooldown)


@given(st.integers(1, 300), st.data(), st.integers(0, 50), st.integers(1, 100))
def test_budget_falls_from_all_heads_to_k(heads, data, start, length):
    keep = data.draw(st.integers(0, heads))
    end = start + length
    budgets = [open_count(n, heads, keep, start, end) for n in range(end + 5)]
    assert all(budget == heads for budget in budgets[: start + 1])
    assert all(budget == keep for budget in budgets[end:])
    assert budgets == sorted(budgets, reverse=True)


def test_budget_is_cubic():
    assert open_count(50, 100, 20, 0, 100) == 20 + round(80 * 0.5**3)


def test_noise_fades_to_nothing():
    assert [noise_scale(n, 10, 20) for n in (0, 10, 15, 20, 30)] == [1, 1, 0.5, 0, 0]
