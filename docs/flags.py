"""Write flags.md, the page of every flag, from the code: python docs/flags.py (a test says when it is out of date)."""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import fairseq.options  # noqa: E402, F401 (before the plug-in, as in every command of fairseq)

from dsp_fairseq.cli import COMMANDS  # noqa: E402
from dsp_fairseq.config import PruningConfig  # noqa: E402
from dsp_fairseq.criterions.distillation import OWN_OPTIONS  # noqa: E402
from dsp_fairseq.errors import flag  # noqa: E402
from dsp_fairseq.families.all_attention_lm.options import OwnOptions  # noqa: E402
from dsp_fairseq.families.transformer import HELP  # noqa: E402

HEAD = """# Flags

Made by `python docs/flags.py` from the code; do not edit by hand.

## Of fairseq-train

With `--user-dir dsp_fairseq --arch gated_transformer` (or one of its shapes); under `fairseq-hydra-train` the same
names without dashes, in `model:`. All others are fairseq's own.

| flag | |
|---|---|
"""


OF_CRITERION = """
With `--criterion dsp_label_smoothed_cross_entropy` or `dsp_cross_entropy`, under `fairseq-hydra-train` in `criterion:`:

| flag | |
|---|---|
"""
OF_ALL_ATTENTION = """
With `--arch all_attention_lm`, beside those of fairseq's `transformer_lm` that have the same meaning there:

| flag | |
|---|---|
"""
_NO_FLAGS = (argparse._SubParsersAction, argparse._HelpAction)


def cell(text: str) -> str:
    return " ".join(text.split()).replace("%%", "%").replace("|", "\\|")


def of_training() -> str:
    options = [f for f in fields(PruningConfig.complete(HELP)) if f.name != "_name"]
    own = [f for f in fields(OwnOptions) if f.name != "_name"]
    return rows_of(options) + OF_CRITERION + rows_of(OWN_OPTIONS) + OF_ALL_ATTENTION + rows_of(own)


def rows_of(options) -> str:
    return "".join(f"| `{flag(f.name)}` | {cell(f.metadata['help'])}{default_of(f)} |\n" for f in options)


def default_of(option) -> str:
    return "" if option.default is None or "default" in option.metadata["help"] else f" (default: {option.default})"


def of_command(name: str, command) -> str:
    parser = argparse.ArgumentParser(prog=f"dsp-fairseq {name}", add_help=False)
    command.add_arguments(parser)
    return of_parser(name, command.HELP, parser)


def of_parser(name: str, purpose: str, parser: argparse.ArgumentParser) -> str:
    """Its flags, what else its help says, and the same of each of its subcommands."""
    own = [action for action in parser._actions if not isinstance(action, _NO_FLAGS)]
    rows = "".join(f"| {call_of(action)} | {help_of(action)} |\n" for action in own)
    table = f"\n| | |\n|---|---|\n{rows}" if rows else ""
    more = f"\n```\n{parser.epilog.strip()}\n```\n" if parser.epilog else ""
    purpose = cell(purpose)
    section = f"\n## dsp-fairseq {name}\n\n{purpose[:1].upper()}{purpose[1:]}.\n{table}{more}"
    return section + "".join(
        of_parser(f"{name} {word}", subparser.description, subparser)
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for word, subparser in action.choices.items()
    )


def help_of(action) -> str:
    return cell((action.help or "").replace("%%", "\0") % vars(action)).replace("\0", "%")


def call_of(action) -> str:
    choices = "{" + ",".join(map(str, action.choices or ())) + "}"
    value = action.metavar or (choices if action.choices else action.dest.upper())
    if not action.option_strings:
        return f"`{value}`"
    takes_value = action.nargs != 0
    return f"`{action.option_strings[-1]}{' ' + str(value) if takes_value else ''}`"


def page() -> str:
    return HEAD + of_training() + "".join(of_command(name, command) for name, command in COMMANDS.items())


if __name__ == "__main__":
    (HERE / "flags.md").write_text(page(), encoding="utf-8")
