"""Keeps --layers-to-keep from fairseq, which takes an option of that name for --encoder-layers-to-keep and its like."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAME = "layers_to_keep"


@contextmanager
def budget_in_layers_hidden(options: Any) -> Iterator[None]:
    """While it lasts, options (a Namespace or an omegaconf container) have no budget in layers.

    fairseq's ``TransformerConfig.from_namespace`` reads ``layers_to_keep`` of a container as the layers of both stacks.
    """
    given = getattr(options, NAME, None)
    if given is None:
        yield
        return
    setattr(options, NAME, None)
    try:
        yield
    finally:
        setattr(options, NAME, given)
