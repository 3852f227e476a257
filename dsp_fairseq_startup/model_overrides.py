"""`--model-overrides "{'head_to_keep': 4}"` changes nothing, and says nothing

Where: `fairseq_cli.generate`, `interactive`, `validate` and `eval_lm`, which hand the option to
`dataclass.utils.overwrite_args_by_name`. When: always. An option that the checkpoint's model, task or criterion does
not have is refused here, as is text that is no dictionary.
"""

import argparse
import difflib
import functools
import os

from . import plain_values, safe_load
from .bad_checkpoint import WrongUse

EXAMPLE = "\"{'beam': 5}\""


def mend(command_module):
    command_module.main = with_checked_overrides(command_module.main)


def with_checked_overrides(main):
    @functools.wraps(main)
    def wrapper(cfg, *args, **kwargs):
        common = getattr(cfg, "common_eval", cfg)  # an older caller passes a namespace
        overrides = overrides_of(common.model_overrides)
        for path in (common.path or "").split(os.pathsep) if overrides else ():
            refuse_unknown(overrides, path)
        return main(cfg, *args, **kwargs)

    return wrapper


def overrides_of(text):
    try:
        overrides = plain_values.plain_value(text or "{}")
    except plain_values.NotAPlainValue as error:
        raise WrongUse(f"--model-overrides {error}") from error
    if not isinstance(overrides, dict) or not all(isinstance(name, str) for name in overrides):
        raise WrongUse(f"--model-overrides {text}: must be a dictionary of options, such as {EXAMPLE}")
    return overrides


def refuse_unknown(overrides, path):
    known = stored_options(path)
    unknown = sorted(set(overrides) - known) if known else []
    if unknown:
        near = {name: difflib.get_close_matches(name, known, n=1, cutoff=0.8) for name in unknown}
        meant = [f"{name} (did you mean {near[name][0]}?)" if near[name] else name for name in unknown]
        raise WrongUse(
            f"--model-overrides: {path} has no option {', '.join(meant)}; options are named as in the checkpoint, with "
            "underscores"
        )


def stored_options(path):
    """Names of all options in the checkpoint; nothing when it cannot be read, which is told later."""
    try:
        state = safe_load.load(path, map_location="meta")
        return set(_names({key: state.get(key) for key in ("args", "cfg")}))
    except Exception:
        return set()


def _names(options):
    options = vars(options) if isinstance(options, argparse.Namespace) else options
    for name, value in options.items():
        yield name
        if isinstance(value, (argparse.Namespace, dict)) or hasattr(value, "items"):
            yield from _names(value)
