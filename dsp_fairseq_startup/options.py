"""`KeyError: None` from `fairseq-validate DATA --path CHECKPOINT`

Where: `fairseq.options.get_validation_parser`, the only one whose task has no default although fairseq
looks the task up (the model's own task comes from the checkpoint afterwards). When: always.

`--arch NAME --help` shows no flag of NAME (nor of `--task`, `--criterion`, `--optimizer`, ...)

Where: `fairseq.options.parse_args_and_arch` parses twice, first to learn what was chosen, then with the
flags of the choice added; `--help` ends the first. When: always.

`AttributeError: 'NoneType' object has no attribute 'xla_device'` with `--bf16`

Where: `fairseq.options.parse_args_and_arch` takes `--bf16` for a TPU, which GPUs and CPUs with that type are not.
When: always; `--tpu` still asks for one.
"""

import functools
import sys

HELP_FLAGS = ("-h", "--help")
ARCH_FLAGS = ("-a", "--arch")


def mend(options):
    options.get_validation_parser.__defaults__ = ("translation",)
    parse = with_bf16_for_all_devices(options.parse_args_and_arch)
    options.parse_args_and_arch = with_help_of_the_choice(parse)


def with_help_of_the_choice(parse_args_and_arch):
    @functools.wraps(parse_args_and_arch)
    def wrapper(parser, input_args=None, *args, modify_parser=None, **kwargs):
        known = parser._option_string_actions
        held_back = {}

        def modify(parser):  # fairseq calls it before each of the two passes
            if held_back:
                known.update(held_back)
            elif "--arch" not in known or names_an_architecture(sys.argv[1:] if input_args is None else input_args):
                held_back.update((flag, known.pop(flag)) for flag in HELP_FLAGS if flag in known)
            if modify_parser is not None:
                modify_parser(parser)

        return parse_args_and_arch(parser, input_args, *args, modify_parser=modify, **kwargs)

    return wrapper


def with_bf16_for_all_devices(parse_args_and_arch):
    @functools.wraps(parse_args_and_arch)
    def wrapper(parser, input_args=None, *args, **kwargs):
        parsed = parse_args_and_arch(parser, input_args, *args, **kwargs)
        options = parsed[0] if isinstance(parsed, tuple) else parsed
        if getattr(options, "bf16", False):
            options.tpu = "--tpu" in (sys.argv[1:] if input_args is None else input_args)
        return parsed

    return wrapper


def names_an_architecture(arguments):
    """Without one fairseq.options has nothing to add, and raises between the two passes."""
    return any(argument.partition("=")[0] in ARCH_FLAGS for argument in arguments)
