"""Whether a model translates between several languages: its sentences then carry tokens that plain data lack."""

from argparse import Namespace
from typing import Any

_LISTS = ("lang_pairs", "langs", "lang_dict")  # options of fairseq's multilingual tasks


def multilingual_problems(state: dict[str, Any], cannot: str) -> list[str]:
    """One line when a checkpoint is of a multilingual task, with what ``cannot`` be done; else none."""
    task = (state.get("cfg") or {}).get("task") or {}
    options = vars(task) if isinstance(task, Namespace) else task
    said = next((name for name in _LISTS if options.get(name)), None)
    if said is None:
        return []
    shown = options[said] if isinstance(options[said], str) else ",".join(map(str, options[said]))
    return [
        f"--task {options.get('_name')} --{said.replace('_', '-')} {shown[:80]}: {cannot}, because its sentences "
        "carry tokens of their languages, which only that task adds"
    ]
