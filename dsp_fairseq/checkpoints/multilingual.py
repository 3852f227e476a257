"""Finds checkpoints of multilingual tasks. Their sentences carry language tokens, which only those tasks add."""

from argparse import Namespace
from typing import Any

_LISTS = ("lang_pairs", "langs", "lang_dict")  # options of fairseq's multilingual tasks


def multilingual_problems(state: dict[str, Any], cannot: str) -> list[str]:
    """One line when the checkpoint is of a multilingual task, otherwise an empty list.

    ``cannot`` is the part of the line that says what is impossible for such a checkpoint.
    """
    task = (state.get("cfg") or {}).get("task") or {}
    options = vars(task) if isinstance(task, Namespace) else task
    given = next((name for name in _LISTS if options.get(name)), None)
    if given is None:
        return []
    shown = options[given] if isinstance(options[given], str) else ",".join(map(str, options[given]))
    return [
        f"--task {options.get('_name')} --{given.replace('_', '-')} {shown[:80]}: {cannot}, because its sentences "
        "carry tokens of their languages, which only that task adds"
    ]
