"""`torch.load` for fairseq's checkpoints, which accepts tensors, plain data and the few classes that fairseq writes.

fairseq calls `torch.load(file)` and expects that any pickle can be read. torch >= 2.6 refuses every class that is not
on an allow-list; older versions ran whatever code the file contained. A checkpoint is untrusted input, so the
protection stays on, and the allow-list has only the classes that `fairseq-train` itself writes.
"""

from ..errors import CannotRead


def load(file, also_allowed=(), **options):
    """The result of `torch.load(file, **options)` with the allow-list and the classes in `also_allowed`."""
    import torch

    with allow_list(also_allowed):
        return torch.load(file, **options, weights_only=True)


def allow_list(also_allowed=()):
    """Context manager inside which torch unpickles objects of the classes on the allow-list only."""
    import torch

    if not hasattr(torch.serialization, "safe_globals"):
        raise CannotRead(
            f"torch {torch.__version__} cannot read a checkpoint without running what a stranger may have put into it; "
            "install torch 2.11 or later"
        )
    return torch.serialization.safe_globals([*allowed_globals(), *also_allowed])


def allowed_globals():
    """Classes and functions in checkpoints of fairseq 0.12.2, apart from tensors and plain data."""
    import argparse

    return [argparse.Namespace, *_numbers_of_numpy(), *_containers_of_omegaconf()]


def _numbers_of_numpy():
    """`--eval-bleu` stores n-gram counts as numpy numbers and arrays in the meters of the training state."""
    import numpy

    try:
        from numpy._core import multiarray
    except ImportError:  # numpy < 2
        from numpy.core import multiarray

    number_types = {type(numpy.dtype(name)) for name in ("float64", "int64")}
    allowed = [numpy.ndarray, numpy.dtype, *number_types]
    for module in ("numpy._core.multiarray", "numpy.core.multiarray"):  # as numpy 2 and numpy 1 write it
        allowed.append((multiarray.scalar, f"{module}.scalar"))
        allowed.append((multiarray._reconstruct, f"{module}._reconstruct"))
    return allowed


def _containers_of_omegaconf():
    """Older fairseq wrote the configuration of a hydra run as omegaconf containers; 0.12.2 writes plain ones."""
    import collections
    import typing

    from omegaconf import DictConfig, ListConfig
    from omegaconf.base import ContainerMetadata, Metadata
    from omegaconf.nodes import AnyNode

    types_of_elements = [dict, list, int, collections.defaultdict, (typing.Any, "typing.Any")]
    return [DictConfig, ListConfig, ContainerMetadata, Metadata, AnyNode, *types_of_elements]
