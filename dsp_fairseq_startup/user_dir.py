"""`KeyError`, `IndexError`, `Could not infer task type from {...}` or pages of usage when `--user-dir` is forgotten

Where: `parse_args_and_arch`, `setup_task`, `build_model` and `build_criterion`, when a command line, a YAML file or a
checkpoint names what dsp_fairseq registers. When: always, in fairseq's commands, its hydra and its hub interface.
"""

import functools
import re
import sys

from .bad_checkpoint import WrongUse

OURS = re.compile(r"gated_transformer(_\w+)?|translation_pruning|dsp_label_smoothed_cross_entropy")
FLAGS = ("-a", "--arch", "--task", "--criterion")
# module -> its function that takes a configuration first, and the option with the name in an older configuration
TAKES_A_CONFIGURATION = {
    "fairseq.tasks": ("setup_task", "task"),
    "fairseq.models": ("build_model", "arch"),
    "fairseq.criterions": ("build_criterion", "criterion"),
}


def mend(module):
    if module.__name__ == "fairseq.options":
        module.parse_args_and_arch = looking_at_the_arguments(module.parse_args_and_arch)
        return
    function, option = TAKES_A_CONFIGURATION[module.__name__]
    setattr(module, function, looking_at_the_configuration(getattr(module, function), option))


def looking_at_the_arguments(parse_args_and_arch):
    @functools.wraps(parse_args_and_arch)
    def wrapper(parser, input_args=None, *args, modify_parser=None, **kwargs):
        def modify(parser):  # fairseq calls it when it has imported --user-dir, and has parsed nothing yet
            for name in chosen(sys.argv[1:] if input_args is None else input_args):
                refuse_unregistered(name)
            if modify_parser is not None:
                modify_parser(parser)

        return parse_args_and_arch(parser, input_args, *args, modify_parser=modify, **kwargs)

    return wrapper


def looking_at_the_configuration(function, option):
    @functools.wraps(function)
    def wrapper(cfg, *args, **kwargs):
        refuse_unregistered(getattr(cfg, "_name", None) or getattr(cfg, option, None))
        return function(cfg, *args, **kwargs)

    return wrapper


def chosen(arguments):
    """The values of FLAGS."""
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
