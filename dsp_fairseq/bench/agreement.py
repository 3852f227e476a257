"""Compares what the variants of a checkpoint make of the same inputs."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ..errors import Failed
from ..families.work import Outcome, Wording


class Agreement(NamedTuple):
    """With how many inputs a variant does the same as the first variant."""

    sentences: int  # or other inputs
    same: int
    ties: int  # something else that is as good

    def __str__(self) -> str:
        others = [f"{self.ties} equally good ones"] if self.ties else []
        worse = self.sentences - self.same - self.ties
        others += [f"{worse} others"] if worse else []
        return ", ".join([f"{self.same} of {self.sentences} the same", *others])


def compare(expected: Sequence[Outcome], actual: Sequence[Outcome]) -> Agreement:
    pairs = list(zip(expected, actual, strict=True))
    same = sum(ours.same_as(theirs) for theirs, ours in pairs)
    ties = sum(not ours.same_as(theirs) and ours.as_good_as(theirs) for theirs, ours in pairs)
    return Agreement(len(expected), same, ties)


def compare_all(
    found: Mapping[str, Sequence[Outcome]], wording: Wording, may_differ: Collection[str] = ()
) -> dict[str, Agreement]:
    """Agreement of every other variant with the first, by name.

    Raises Failed when the outcomes of a variant that is not in ``may_differ`` differ by more than ties.
    """
    first, *others = found
    agreements = {name: compare(found[first], found[name]) for name in others}
    wrong = [
        f"{name} does not {wording.verb} as {first} does ({agreement}); please report this"
        for name, agreement in agreements.items()
        if name not in may_differ and agreement.same + agreement.ties < agreement.sentences
    ]
    if wrong:
        raise Failed("\n".join(wrong))
    return agreements
