"""Reads strings that fairseq would evaluate as Python code, some of them from a checkpoint.

Many modules of fairseq call `eval(text)`, such as `fairseq.utils.eval_str_dict`, `models/fconv.py` and
`optim/adam.py`, for values like `[(512, 3)] * 20` and `(0.9, 0.98)`. `loading` makes `eval` mean `plain_value` there.
"""

import ast

from ..errors import WrongUse

MOST_ELEMENTS = 10_000  # largest length of a repeated list; published models have a few dozen layers


class NotAPlainValue(WrongUse):
    """The text is code, or no Python at all."""


def plain_value(text):
    """The value of a Python literal in which lists may be added and repeated; nothing is executed.

    Raises TypeError for anything but a string, as `eval` does, and NotAPlainValue for a text that is no such literal.

    >>> plain_value("[(512, 3)] * 2 + [(1024, 1)]")
    [(512, 3), (512, 3), (1024, 1)]
    """
    if not isinstance(text, str):
        raise TypeError(f"a string is needed, not {type(text).__name__}")
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        shown = repr(text if len(text) <= 80 else text[:77] + "...")
        raise NotAPlainValue(
            f"{shown}: must be a plain value, such as 0.5, True, (0.9, 0.98) or [(512, 3)] * 2; it is not run as code"
        ) from error


def _value(node):
    if isinstance(node, (ast.List, ast.Tuple)):
        elements = [_value(element) for element in node.elts]
        return elements if isinstance(node, ast.List) else tuple(elements)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _value(node.left) + _value(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        left, right = _value(node.left), _value(node.right)
        for sequence, times in ((left, right), (right, left)):
            if hasattr(sequence, "__len__") and len(sequence) * times > MOST_ELEMENTS:
                raise ValueError(f"more than {MOST_ELEMENTS} elements")
        return left * right
    return ast.literal_eval(node)
