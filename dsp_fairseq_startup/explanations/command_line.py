"""Messages for options that are missing, or whose value fairseq or a library refuses."""

import re

from ..tracebacks import frames, last_frame, module_of, raised_in


def explain(error):
    if isinstance(error, RuntimeError) and not error.args and last_frame(error).f_code.co_name == "parse_args_and_arch":
        return "--arch is missing; `fairseq-train --help` lists the architectures, those of --user-dir included"
    if type(error).__name__ == "MissingMandatoryValue":  # hydra's: `???` in a YAML file
        value = '"$(dsp-fairseq user-dir)"' if error.full_key == "common.user_dir" else "..."
        return f"{error.full_key} is missing: say {error.full_key}={value}, or write it into the YAML file"
    if isinstance(error, ValueError) and str(error).startswith("Seed must be between"):  # numpy's
        return f"--seed {_seed(error)}: must be 0 to {2**32 - 1}"
    if raised_in(error, "literal_eval") and raised_in(error, "load_checkpoint"):
        reason = str(error).partition("\n")[0][:100]  # the error may quote a long value
        return f"--optimizer-overrides: must be a dictionary as Python writes it, such as \"{{'lr': [0.1]}}\"; {reason}"
    if isinstance(error, AssertionError) and module_of(last_frame(error)).startswith("fairseq_cli."):
        return str(error).partition("\n")[0] or None  # the commands check options with `assert condition, message`
    missing = re.search(r"Error merging override (tokenizer|bpe)\.(\w+)=null", str(error))
    if missing:
        kind, option = missing.groups()
        return f"--{option.replace('_', '-')} is missing: this --{kind} needs it"
    if isinstance(error, ModuleNotFoundError) and module_of(last_frame(error)).startswith("fairseq."):
        return f"the Python package {error.name} is needed for this and is not installed"
    return None


def _seed(error):
    configurations = (frame.f_locals.get("cfg") for frame in frames(error))
    return next((cfg.common.seed for cfg in configurations if hasattr(cfg, "common")), "(as given)")
