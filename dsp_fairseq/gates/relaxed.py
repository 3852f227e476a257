"""The relaxed choice of units: one soft pick after the other, some from one block only, and no block beyond its cap.

Each pick handles only H numbers, so most of the time goes into library calls. The code uses numpy, whose calls are
several times cheaper than torch's, and therefore has to write out its own backward pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Flat = npt.NDArray[Any]

# Where the relaxation is unstable (ties at a very low temperature) its true gradient grows like (1/temperature)**k
# and overflows float64. It is clipped here, far above any gradient that an optimiser uses.
_GRADIENT_LIMIT = 1e100
_TINY = 1e-100  # the room of a full block, in units, as a number whose logarithm is finite


@dataclass(frozen=True)
class Round:
    """A number of successive picks from the same n units."""

    units: slice  # the n units, in flat order
    picks: int
    closed: Flat | None = None  # bool [n]: units that cannot be picked; None when all can
    blocks: Flat | None = None  # int [n]: index of the block of each unit; None when no block has a cap
    room: Flat | None = None  # [blocks]: number of units that each block has room for in this round
    # whether the backward pass keeps the tiny gradient between a unit that is almost certainly picked and the others;
    # False without limits, so that trainings of earlier versions are repeated bit for bit
    precise: bool = True


def relaxed_picks(perturbed: Tensor, rounds: Sequence[Round], temperature: float, bounded: bool) -> Tensor:
    """Gates [H], float64, of perturbed logits [H]: the sum of all picks of :class:`RelaxedPicks`.

    ``bounded`` clips the gradient of each logit to the largest that a single softmax can have.
    """
    gates: Tensor = RelaxedPicks.apply(perturbed, rounds, temperature, bounded)  # type: ignore[no-untyped-call]
    return gates


class RelaxedPicks(torch.autograd.Function):
    """Perturbed logits r [H] -> gates [H], float64: the sum of all picks (Xie & Ermon, IJCAI 2019).

    A pick is p = softmax(r / t) over the units of its round; after it r <- r + log(1 - p).

    Caps are an addition to the paper. Let m_b be the sum of the picks that block b has received in this round. When
    block b has room for less than one more unit, log(room_b - m_b) is added to the r of its units for this pick. So
    no unit of a full block is picked, and all other units compete as if there were no cap.
    """

    @staticmethod
    def forward(ctx: Any, perturbed: Tensor, rounds: Sequence[Round], temperature: float, bounded: bool) -> Tensor:
        scores = perturbed.detach().cpu().numpy() / temperature  # r / t, [H]
        picks = np.zeros((sum(round.picks for round in rounds), scores.size))  # p_1 .. p_k, [k, H]
        rooms, first = [], 0
        with np.errstate(divide="ignore"):
            for round in rounds:
                own = picks[first : first + round.picks, round.units]
                rooms.append(_pick(scores[round.units], own, round, temperature))
                first += round.picks
        ctx.rounds, ctx.picks, ctx.rooms = rounds, picks, rooms
        ctx.temperature, ctx.bounded = temperature, bounded
        return torch.from_numpy(picks.sum(axis=0)).to(perturbed.device)

    @staticmethod
    def backward(ctx: Any, grad_gates: Tensor) -> tuple[Tensor, None, None, None]:
        grad = grad_gates.detach().double().cpu().numpy()
        left = 1.0 - ctx.picks
        # d log(1 - p) / dp; no gradient flows through a unit that was certainly picked (p == 1)
        slopes = np.divide(-1.0, left * ctx.temperature, out=np.zeros_like(left), where=left > 0)
        grad_scores, last = np.zeros_like(grad), len(ctx.picks)
        for round, room in zip(ctx.rounds[::-1], ctx.rooms[::-1], strict=True):
            rows, own = slice(last - round.picks, last), round.units
            picks = ctx.picks[rows, own]
            _pick_backward(grad_scores[own], grad[own], picks, slopes[rows, own], round, room, ctx.temperature)
            last -= round.picks
        grad_scores /= ctx.temperature
        if ctx.bounded:
            picked = ctx.picks.any(axis=0)
            limit = np.ptp(grad[picked]) / (4.0 * ctx.temperature) if picked.any() else 0.0
            np.clip(grad_scores, -limit, limit, out=grad_scores)
        return torch.from_numpy(grad_scores).to(grad_gates.device), None, None, None


def _pick(scores: Flat, picks: Flat, round: Round, temperature: float) -> Flat | None:
    """Compute the picks of one round: fills ``picks`` [picks, n] and lowers the scores r / t [n], both in place.

    Returns the room of each block before each pick, [picks, blocks], clipped to at most 1; None without caps.
    """
    if round.closed is not None:
        scores[round.closed] = -np.inf
    left, rooms = np.empty_like(scores), None
    blocks: Any = round.blocks
    if round.room is not None:
        rooms = np.empty((round.picks, round.room.size))
        room = round.room.copy()
    for j, p in enumerate(picks):
        if rooms is None:
            np.subtract(scores, np.maximum.reduce(scores), out=p)
        else:
            np.clip(room, _TINY, 1.0, out=rooms[j])
            np.add(scores, (np.log(rooms[j]) / temperature)[blocks], out=p)
            np.subtract(p, np.maximum.reduce(p), out=p)
        np.exp(p, out=p)
        np.divide(p, np.add.reduce(p), out=p)
        # p == 1 gives log(0) = -inf: a unit that was certainly picked is never picked again
        np.negative(p, out=left)
        np.log1p(left, out=left)
        np.divide(left, temperature, out=left)
        np.add(scores, left, out=scores)
        if rooms is not None:
            room -= np.bincount(blocks, p, room.size)
    return rooms


def _pick_backward(
    grad_scores: Flat,
    grad: Flat,
    picks: Flat,
    slopes: Flat,
    round: Round,
    rooms: Flat | None,
    temperature: float,
) -> None:
    """Backward pass of :func:`_pick`: adds the gradient with respect to r / t to ``grad_scores`` [n], in place.

    ``grad`` [n] is the gradient with respect to the gates, ``slopes`` [picks, n] is d log(1 - p) / dp / t.
    """
    grad_p = np.empty_like(grad)
    blocks: Any = round.blocks
    if rooms is not None:
        # d log(room) / d room / t, where the block has room for less than one unit and is not full
        room_slopes = np.divide(1.0, rooms * temperature, out=np.zeros_like(rooms), where=(rooms < 1) & (rooms > _TINY))
        grad_room = np.zeros(rooms.shape[1])
    for j in range(len(picks) - 1, -1, -1):
        p = picks[j]
        np.multiply(grad_scores, slopes[j], out=grad_p)
        np.add(grad_p, grad, out=grad_p)
        if rooms is not None:
            np.subtract(grad_p, grad_room[blocks], out=grad_p)
        if not grad_p.dot(grad_p) < _GRADIENT_LIMIT**2:
            np.clip(grad_p, -_GRADIENT_LIMIT, _GRADIENT_LIMIT, out=grad_p)
        if round.precise:  # a constant does not change the gradient of a softmax, but its size costs precision
            np.subtract(grad_p, grad_p[p.argmax()], out=grad_p)
        np.subtract(grad_p, grad_p.dot(p), out=grad_p)
        np.multiply(grad_p, p, out=grad_p)
        np.add(grad_scores, grad_p, out=grad_scores)
        if rooms is not None:
            grad_room += np.bincount(blocks, grad_p, grad_room.size) * room_slopes[j]
