"""Heads picked softly one after the other, some picks from one block only, no block beyond its cap.

Each pick touches H numbers, so the cost is that of calling into the library: numpy's calls are several times
cheaper than torch's, and the backward pass is written out for that reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Flat = npt.NDArray[Any]

# Where the relaxation is unstable (ties at a very low temperature) its true gradient grows like
# (1/temperature)**k and leaves float64; it is cut off here, far above anything an optimiser uses.
_GRADIENT_LIMIT = 1e100
_TINY = 1e-100  # the room, in heads, of a block that is full


@dataclass(frozen=True)
class Round:
    """Picks that follow one another, all from the same heads; H is the number of those."""

    heads: slice  # in flat order
    picks: int
    closed: Flat | None = None  # bool [H]: cannot be picked; None: all can
    blocks: Flat | None = None  # int [H]: block of each head; None: there are no caps
    room: Flat | None = None  # [blocks]: heads that each block has room for in this round
    # whether a head that is picked for certain feels those that are all but ruled out; without limits it does not,
    # so that the numbers of earlier trainings are repeated to the bit
    precise: bool = True


def relaxed_picks(perturbed: Tensor, rounds: Sequence[Round], temperature: float, bounded: bool) -> Tensor:
    """Gates [H], float64, of perturbed logits [H]: the sum of all picks, see :class:`RelaxedPicks`.

    ``bounded``: the gradient of each logit is at most that of one softmax.
    """
    gates: Tensor = RelaxedPicks.apply(perturbed, rounds, temperature, bounded)  # type: ignore[no-untyped-call]
    return gates


class RelaxedPicks(torch.autograd.Function):
    """Scores [H] -> gates [H], float64: the sum of all picks.

    A pick is p = softmax(r / t) over the heads of its round; then r <- r + log(1 - p). With caps a block b in
    which the round has picked the mass m_b so far has log(room_b - m_b) added to its r, for this pick, where
    less than one head has room: a full block is not picked from, the others compete as if there were no cap.
    """

    @staticmethod
    def forward(ctx: Any, perturbed: Tensor, rounds: Sequence[Round], temperature: float, bounded: bool) -> Tensor:
        scores = perturbed.detach().cpu().numpy() / temperature  # r / t, [H]
        picks = np.zeros((sum(round.picks for round in rounds), scores.size))  # p_1 .. p_k, [k, H]
        rooms, first = [], 0
        with np.errstate(divide="ignore"):
            for round in rounds:
                own = picks[first : first + round.picks, round.heads]
                rooms.append(_pick(scores[round.heads], own, round, temperature))
                first += round.picks
        ctx.rounds, ctx.picks, ctx.rooms = rounds, picks, rooms
        ctx.temperature, ctx.bounded = temperature, bounded
        return torch.from_numpy(picks.sum(axis=0)).to(perturbed.device)

    @staticmethod
    def backward(ctx: Any, grad_gates: Tensor) -> tuple[Tensor, None, None, None]:
        grad = grad_gates.detach().double().cpu().numpy()
        left = 1.0 - ctx.picks
        # d log(1 - p) / dp; nothing flows through a head that was taken for certain
        slopes = np.divide(-1.0, left * ctx.temperature, out=np.zeros_like(left), where=left > 0)
        grad_scores, last = np.zeros_like(grad), len(ctx.picks)
        for round, room in zip(ctx.rounds[::-1], ctx.rooms[::-1], strict=True):
            rows, own = slice(last - round.picks, last), round.heads
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
    """Fill in the picks [picks, H] and lower the scores r / t [H] in place; the room left before each pick."""
    if round.closed is not None:
        scores[round.closed] = -np.inf
    left, rooms = np.empty_like(scores), None
    blocks: Any = round.blocks  # None where no room is counted
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
        # 1 - p == 0 gives -inf: a head that was taken for certain is never taken again
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
    """Add to the gradient of r / t [H], in place, what flows through the picks of a round."""
    grad_p = np.empty_like(grad)
    blocks: Any = round.blocks  # None where no room is counted
    if rooms is not None:
        # d log(room) / d room, where less than one head has room and the block is not full
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
        if round.precise:  # a softmax does not feel a constant: what is left is the difference to the likeliest head
            np.subtract(grad_p, grad_p[p.argmax()], out=grad_p)
        np.subtract(grad_p, grad_p.dot(p), out=grad_p)
        np.multiply(grad_p, p, out=grad_p)
        np.add(grad_scores, grad_p, out=grad_scores)
        if rooms is not None:
            grad_room += np.bincount(blocks, grad_p, grad_room.size) * room_slopes[j]
