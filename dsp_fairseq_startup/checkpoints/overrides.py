"""`--model-overrides`: unknown names are refused, and the model knows which of its options were changed."""

import argparse
import difflib
import os

from ..errors import WrongUse
from ..mending import around, main_of
from ..options.plain_values import NotAPlainValue, plain_value
from . import safe_load


@around(*main_of("generate", "interactive", "validate", "eval_lm"))
def refuse_unknown_overrides(main, cfg, *args, **kwargs):
    """Without this mend, unknown names such as `--model-overrides "{'head_to_keep': 4}"` are silently ignored."""
    common = getattr(cfg, "common_eval", cfg)  # an older caller passes a namespace
    overrides = overrides_in(common.model_overrides)
    for path in (common.path or "").split(os.pathsep) if overrides else ():
        refuse_unknown(overrides, path)
    return main(cfg, *args, **kwargs)


def overrides_in(text):
    try:
        overrides = plain_value(text or "{}")
    except NotAPlainValue as error:
        raise WrongUse(f"--model-overrides {error}") from error
    if not isinstance(overrides, dict) or not all(isinstance(name, str) for name in overrides):
        raise WrongUse(f"--model-overrides {text}: must be a dictionary of options, such as \"{{'beam': 5}}\"")
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
    """Names of all options in the checkpoint; none when it cannot be read, which is reported later."""
    try:
        state = safe_load.load(path, map_location="meta")
        return set(_names({key: state.get(key) for key in ("args", "cfg")}))
    except Exception:
        return set()


def _names(options):
    options = vars(options) if isinstance(options, argparse.Namespace) else options
    for name, value in options.items():
        yield name
        if isinstance(value, argparse.Namespace) or hasattr(value, "items"):
            yield from _names(value)


@around("fairseq.checkpoint_utils:overwrite_args_by_name")
def remember_trained_values(overwrite_args_by_name, cfg, overrides):
    """Add `overridden` to the options of the model: a dictionary of the changed options with their trained values.

    The model needs it to warn that it decodes with other options than it was trained with.
    """
    from omegaconf import open_dict

    options = cfg.get("model")
    trained = {name: getattr(options, name, None) for name in overrides}
    overwrite_args_by_name(cfg, overrides)
    if options is not None:
        with open_dict(cfg):
            options.overridden = trained  # set it even if it is empty, to replace a value in the file
