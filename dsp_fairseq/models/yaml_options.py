"""Options of `fairseq-hydra-train`: the same as those of the command line, from the `model:` part of a YAML file."""

from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any, cast

from fairseq.models.transformer import TransformerConfig
from omegaconf import DictConfig, OmegaConf

from ..errors import refuse

# parts of a configuration whose options a command line has beside those of the model
_PARTS = ("common", "checkpoint", "dataset", "optimization", "task")


def complete(cfg: DictConfig, add_args: Callable, shape: Callable, check: Callable) -> None:
    """Fill ``cfg`` up as fairseq's command line does; raises BadInput.

    Args:
        cfg: what the YAML file says of the model, or a model's options from a checkpoint.
        add_args: adds the options of the model to a parser.
        shape: sets what the architecture says of a Namespace.
        check: looks at a Namespace of all options, as a command line gives them, and may add to it.
    """
    if "arch" in cfg:  # from a checkpoint: complete
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
    # fairseq asks a Namespace for options that may be missing; a configuration would answer None
    unsaid = TransformerConfig.from_namespace(options)
    filled = {name: getattr(unsaid, name) for name in known["names"] - set(vars(options))}
    filled.update({name: getattr(everything, name) for name in vars(options)})
    filled.update(seed=getattr(everything, "seed", 1), kept_heads=getattr(everything, "kept_heads", None))
    for name, value in filled.items():
        cfg[name] = value


def _defaults(add_args: Callable) -> dict[str, Any]:
    parser = ArgumentParser(add_help=False)
    # fairseq: what has no default is left to the architecture
    group = parser.add_argument_group("model", argument_default=SUPPRESS)
    add_args(group)
    return {"names": {action.dest for action in parser._actions}, "values": vars(parser.parse_args([]))}


def _of_the_training(cfg: DictConfig) -> dict[str, Any]:
    """The options of the other parts, flat; nothing where there is only a model."""
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
