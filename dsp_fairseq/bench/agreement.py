"""Compares the translations of the variants of a checkpoint."""

from collections.abc import Collection
from typing import NamedTuple

from ..errors import Failed
from .variants import Hypothesis

TIE = 1e-4  # difference of two scores below which rounding decides between the translations


class Agreement(NamedTuple):
    """How many sentences a variant translates in the same way as the first variant."""

    sentences: int
    same: int
    ties: int  # another translation with the same score

    def __str__(self) -> str:
        others = [f"{self.ties} equally good ones"] if self.ties else []
        worse = self.sentences - self.same - self.ties
        others += [f"{worse} others"] if worse else []
        return ", ".join([f"{self.same} of {self.sentences} the same", *others])


def compare(expected: list[Hypothesis], actual: list[Hypothesis]) -> Agreement:
    same = sum(ours.tokens == theirs.tokens for theirs, ours in zip(expected, actual, strict=True))
    ties = sum(
        ours.tokens != theirs.tokens and abs(ours.score - theirs.score) <= TIE
        for theirs, ours in zip(expected, actual, strict=True)
    )
    return Agreement(len(expected), same, ties)


def compare_all(found: dict[str, list[Hypothesis]], may_differ: Collection[str] = ()) -> dict[str, Agreement]:
    """Agreement of every other variant with the first, by name.

    Raises Failed when the translations of a variant that is not in ``may_differ`` differ by more than ties.
    """
    first, *others = found
    agreements = {name: compare(found[first], found[name]) for name in others}
    wrong = [
        f"{name} does not translate as {first} does ({agreement}); please report this"
        for name, agreement in agreements.items()
        if name not in may_differ and agreement.same + agreement.ties < agreement.sentences
    ]
    if wrong:
        raise Failed("\n".join(wrong))
    return agreements
