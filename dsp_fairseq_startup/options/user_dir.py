"""Says in one line that `--user-dir` is missing, when a name that dsp_fairseq registers is not registered.

The name may be on a command line, in a YAML file or in a checkpoint. fairseq itself ends with `KeyError`, `IndexError`,
`Could not infer task type from {...}` or pages of usage.
"""

import re

from ..errors import WrongUse
from ..mending import around
from .command_line import arguments_given

OURS = re.compile(
    r"(gated_transformer|all_attention_lm)(_\w+)?|(translation|language_modeling)_pruning|"
    r"dsp_(label_smoothed_cross_entropy|cross_entropy|adaptive_loss)"
)
FLAGS = ("-a", "--arch", "--task", "--criterion")
# function whose first argument is a configuration -> the option that holds the name in an older configuration
TAKES_A_CONFIGURATION = {"setup_task": "task", "build_model": "arch", "build_criterion": "criterion"}


@around("fairseq.options:parse_args_and_arch")
def check_the_arguments(parse_args_and_arch, parser, input_args=None, *args, modify_parser=None, **kwargs):
    def modify(parser):  # fairseq calls this after it has imported --user-dir and before it parses
        for name in chosen(arguments_given(input_args)):
            refuse_unregistered(name)
        if modify_parser is not None:
            modify_parser(parser)

    return parse_args_and_arch(parser, input_args, *args, modify_parser=modify, **kwargs)


@around("fairseq.tasks:setup_task", "fairseq.models:build_model", "fairseq.criterions:build_criterion")
def check_the_configuration(function, cfg, *args, **kwargs):
    option = TAKES_A_CONFIGURATION[function.__name__]
    refuse_unregistered(getattr(cfg, "_name", None) or getattr(cfg, option, None))
    return function(cfg, *args, **kwargs)


def chosen(arguments):
    """The values of the options in FLAGS on a command line."""
    words = list(map(str, arguments))
    for word, after in zip(words, [*words[1:], ""], strict=True):
        flag, equals, value = word.partition("=")
        if flag in FLAGS:
            yield value if equals else after


def refuse_unregistered(name):
    if isinstance(name, str) and OURS.fullmatch(name) and not is_registered(name):
        raise WrongUse(
            f'{name} is of dsp_fairseq, which is not loaded: say --user-dir "$(dsp-fairseq user-dir)"'
            " (fairseq-hydra-train: common.user_dir=..., in Python: import dsp_fairseq)"
        )


def is_registered(name):
    from fairseq.criterions import CRITERION_REGISTRY
    from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
    from fairseq.tasks import TASK_REGISTRY

    registries = (ARCH_MODEL_REGISTRY, MODEL_REGISTRY, TASK_REGISTRY, CRITERION_REGISTRY)
    return any(name in registry for registry in registries)
