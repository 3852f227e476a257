"""Parsing of the command line: help, defaults and `--bf16`."""

import sys

from ..mending import around, mend

HELP_FLAGS = ("-h", "--help")
ARCH_FLAGS = ("-a", "--arch")


@mend("fairseq.options")
def give_validation_a_task(options):
    """`KeyError: None` from `fairseq-validate DATA --path CHECKPOINT`.

    Its parser is the only one whose task has no default, although fairseq looks the task up; the model's own task comes
    from the checkpoint afterwards.
    """
    options.get_validation_parser.__defaults__ = ("translation",)


@around("fairseq.options:parse_args_and_arch")
def use_bf16_without_a_tpu(parse_args_and_arch, parser, input_args=None, *args, **kwargs):
    """`'NoneType' object has no attribute 'xla_device'`: fairseq takes `--bf16` for a TPU, as `--tpu` does."""
    parsed = parse_args_and_arch(parser, input_args, *args, **kwargs)
    options = parsed[0] if isinstance(parsed, tuple) else parsed
    if getattr(options, "bf16", False):
        options.tpu = "--tpu" in arguments_given(input_args)
    return parsed


@around("fairseq.options:parse_args_and_arch")
def help_with_all_flags(parse_args_and_arch, parser, input_args=None, *args, modify_parser=None, **kwargs):
    """`--arch NAME --help` shows no flag of NAME, nor of `--task`, `--criterion`, `--optimizer` and so on.

    fairseq parses twice: first to learn what was chosen, then with the flags of that choice added. `--help` ends the
    first pass, so it is withheld until the second.
    """
    known = parser._option_string_actions
    withheld = {}
    names = {argument.partition("=")[0] for argument in arguments_given(input_args)}

    def modify(parser):  # fairseq calls it before each pass
        if withheld:
            known.update(withheld)
        elif "--arch" not in known or names & {*ARCH_FLAGS}:  # without one, fairseq raises between the passes
            withheld.update((flag, known.pop(flag)) for flag in HELP_FLAGS if flag in known)
        if modify_parser is not None:
            modify_parser(parser)

    return parse_args_and_arch(parser, input_args, *args, modify_parser=modify, **kwargs)


def arguments_given(input_args):
    return sys.argv[1:] if input_args is None else input_args
