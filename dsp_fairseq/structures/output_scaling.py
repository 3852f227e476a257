"""The scaling of the output of attention blocks that have closed heads (Shim et al., 2021).

A block of H heads of which n are open multiplies its output, without the bias, by H / n, at least 1 and at most H. So
the size of its output stays about the same while heads close. No gradient passes through the factor.
"""


def output_scale(heads: int, open_heads: float) -> float:
    """The factor of a block of so many heads; ``open_heads`` may be a sum of gates between 0 and 1.

    >>> [output_scale(8, n) for n in (8, 4, 1, 0)]
    [1.0, 2.0, 8.0, 8.0]
    """
    most = float(max(heads, 1))
    return most if open_heads <= 0 else min(max(heads / open_heads, 1.0), most)
