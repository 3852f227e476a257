"""Gives `fairseq-hydra-train` the options of the command line, in the `model:` part of its YAML file."""

from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any, cast

from fairseq.models.transformer import TransformerConfig
from omegaconf import DictConfig, OmegaConf

from ..errors import refuse
from .budget_in_layers import budget_in_layers_hidden

# the parts of a configuration whose options a command line has in addition to those of the model
_PARTS = ("common", "checkpoint", "dataset", "optimization", "task", "criterion")


def complete(cfg: DictConfig, add_args: Callable, shape: Callable, check: Callable) -> None:
    """Add the defaults of all options to ``cfg``, as fairseq's command line does.

    Args:
        cfg: the `model:` part of the YAML file, or the options of a model from a checkpoint, which are complete.
        add_args: adds the options of the model to a parser.
        shape: sets the defaults of the architecture in a Namespace.
        check: checks a Namespace of all options, as a command line gives them, and may add options to it.

    Raises BadInput for unknown options, and when ``check`` does.
    """
    if "arch" in cfg:  # the options come from a checkpoint
        return
    said: Any = OmegaConf.to_container(cfg, resolve=True)
    said["arch"] = said.pop("_name")
    known = _defaults(add_args)
    unknown = sorted(set(said) - {"arch", *known["names"]})
    remedy = f"see fairseq-train --arch {said['arch']} --help"
    refuse(f"model.{name}: unknown option of {said['arch']}; {remedy}" for name in unknown)
    options = Namespace(**{**known["values"], **said})
    shape(options)
    everything = Namespace(**{**_of_the_training(cfg), **vars(options)})
    check(everything)
    # fairseq reads missing options of a Namespace with a default, but a missing option of a DictConfig would be None
    with budget_in_layers_hidden(options):
        unsaid = TransformerConfig.from_namespace(options)
    filled = {name: getattr(unsaid, name) for name in known["names"] - set(vars(options))}
    filled.update({name: getattr(everything, name) for name in vars(options)})
    filled.update(seed=getattr(everything, "seed", 1), kept_heads=getattr(everything, "kept_heads", None))
    if getattr(everything, "layers_before", None) is not None:
        filled.update(layers_before=everything.layers_before)
    for name, value in filled.items():
        cfg[name] = value


def _defaults(add_args: Callable) -> dict[str, Any]:
    parser = ArgumentParser(add_help=False)
    # as in fairseq, an option without a default is left out, so that the architecture can set it
    group = parser.add_argument_group("model", argument_default=SUPPRESS)
    add_args(group)
    return {"names": {action.dest for action in parser._actions}, "values": vars(parser.parse_args([]))}


def _of_the_training(cfg: DictConfig) -> dict[str, Any]:
    """The options outside the model in one flat dict; empty if ``cfg`` is not part of a larger configuration."""
    root: Any = cfg._get_root()
    found: dict[str, Any] = {}
    for part in _PARTS:
        if root is not cfg and OmegaConf.is_config(root.get(part)):
            found.update(cast(dict, OmegaConf.to_container(root[part], resolve=True)))
    found.pop("_name", None)
    for part in ("task", "criterion"):
        if root is not cfg and OmegaConf.is_config(root.get(part)):
            found[part] = root[part].get("_name")
    return found
