"""Numbers beside the points of a picture, where they cover nothing."""

from typing import List, NamedTuple, Sequence, Tuple

HIGH, WIDE = 9.0, 5.5  # points: a line of small text, and one of its figures
POINT, DOT = 5.0, 2.0  # half a marker, and half a small one
_SIDES = ((1, 1), (-1, -1), (1, -1), (-1, 1))  # right or left, above or below

Box = Tuple[float, float, float, float]  # left, bottom, right, top


class Label(NamedTuple):
    text: str
    at: Tuple[float, float]  # in the units of the axes
    colour: str


def write(figure, panel, labels: Sequence[Label], dots: Sequence[Tuple[float, float]] = ()) -> None:
    """Beside markers at their places and away from smaller ones at ``dots``.

    Each at the first of four places that is free; none where all are taken: more would not be read anyway.

    Call it last: it needs the final size of the axes.
    """
    figure.draw_without_rendering()
    scale = 72 / figure.dpi
    points, small = (
        [tuple(scale * panel.transData.transform(at)) for at in places] for places in ([x.at for x in labels], dots)
    )
    taken: List[Box] = [_around(x, y, POINT) for x, y in points] + [_around(x, y, DOT) for x, y in small]
    for label, (x, y) in zip(labels, points):
        width = WIDE * len(label.text)
        for across, up in _SIDES:
            dx, dy = across * (POINT + width / 2 + 1), up * HIGH * 0.6
            box = (x + dx - width / 2, y + dy - HIGH / 2, x + dx + width / 2, y + dy + HIGH / 2)
            if not any(_meet(box, other) for other in taken):
                taken.append(box)
                panel.annotate(
                    label.text,
                    label.at,
                    xytext=(dx, dy),
                    textcoords="offset points",
                    ha="center",
                    va="center",
                    color=label.colour,
                    fontsize="small",
                )
                break


def _around(x: float, y: float, reach: float) -> Box:
    return (x - reach, y - reach, x + reach, y + reach)


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
