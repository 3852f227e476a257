"""Mends for the parsing of the command line: help, defaults and `--bf16`."""

import sys

from ..mending import around, mend

HELP_FLAGS = ("-h", "--help")
ARCH_FLAGS = ("-a", "--arch")


@mend("fairseq.options")
def give_validation_a_task(options):
    """`KeyError: None` from `fairseq-validate DATA --path CHECKPOINT`.

    Only the parser of this command has no default task, and fairseq looks the task up. The task that is used comes
    from the checkpoint afterwards.
    """
    options.get_validation_parser.__defaults__ = ("translation",)


@around("fairseq.options:parse_args_and_arch")
def use_bf16_without_a_tpu(parse_args_and_arch, parser, input_args=None, *args, **kwargs):
    """`'NoneType' object has no attribute 'xla_device'`: with `--bf16` fairseq sets `--tpu`."""
    parsed = parse_args_and_arch(parser, input_args, *args, **kwargs)
    options = parsed[0] if isinstance(parsed, tuple) else parsed
    if getattr(options, "bf16", False):
        options.tpu = "--tpu" in arguments_given(input_args)
    return parsed


@around("fairseq.options:parse_args_and_arch")
def help_with_all_flags(parse_args_and_arch, parser, input_args=None, *args, modify_parser=None, **kwargs):
    """Without this mend, `--arch NAME --help` shows no options of NAME, nor of `--task`, `--criterion` and so on.

    fairseq parses twice: first to find out what was chosen, then with the options of these choices added. `--help`
    would end the first pass, so the parser gets it before the second.
    """
    known = parser._option_string_actions
    withheld = {}
    names = {argument.partition("=")[0] for argument in arguments_given(input_args)}

    def modify(parser):  # fairseq calls it before each pass
        if withheld:
            known.update(withheld)
        elif "--arch" not in known or names & {*ARCH_FLAGS}:  # if --arch is missing, fairseq ends between the passes
            withheld.update((flag, known.pop(flag)) for flag in HELP_FLAGS if flag in known)
        if modify_parser is not None:
            modify_parser(parser)

    return parse_args_and_arch(parser, input_args, *args, modify_parser=modify, **kwargs)


def arguments_given(input_args):
    return sys.argv[1:] if input_args is None else input_args
