"""The mixin for tasks: it plans the search, and steps the logits of the gates after each step of the weights."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from fairseq import utils
from fairseq.distributed import utils as distributed
from torch import Tensor

from ..errors import BadInput
from ..gates.gates import Gates
from .length import Length

logger = logging.getLogger(__name__)


class PruningTask:
    """Mixin in front of a fairseq task: ``class MyTask(PruningTask, TranslationTask)``.

    The configuration of the task needs ``max_epoch``, ``max_update`` and ``update_freq`` (interpolated from
    ``optimization``) to plan a search that takes a share of the training. A model without gates trains as usual.
    """

    cfg: Any  # set by the fairseq task, like the next two
    datasets: dict[str, Any]
    load_dataset: Callable[..., None]
    _gates: Gates | None = None
    _batches: Any = None  # fairseq's iterator over the training batches
    _begun: tuple[int, int] | None = None  # the epoch that begins, and the number of its batches done before a restart
    _refused: BadInput | None = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._batching: dict[str, Any] = {}  # the options of the iterator over the training batches
        self._number_of: dict[int, int] = {}  # number of batches by shard of the data

    def build_model(self, cfg, from_checkpoint=False):
        model = super().build_model(cfg, from_checkpoint)
        self._gates, self._share = getattr(model, "gates", None), getattr(model, "search_share", 1.0)
        return model

    @property
    def training_subset(self) -> str:
        """Name of the data set that trains the model."""
        return getattr(self.cfg, "train_subset", "train")

    def get_batch_iterator(self, dataset, **options):
        batches = super().get_batch_iterator(dataset, **options)
        if dataset is self.datasets.get(self.training_subset):
            self._batches, self._batching = batches, options
            self._number_of[self._shard(options.get("epoch", 1))] = len(batches)
        return batches

    def begin_epoch(self, epoch, model):
        super().begin_epoch(epoch, model)
        if self._batches is not None:
            self._begun = (epoch, self._batches.iterations_in_epoch)

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        if self._begun is not None and self._gates is not None:
            (epoch, done), self._begun = self._begun, None
            self._plan(self._gates, update_num, epoch, done)
        loss, sample_size, logging_output = super().train_step(
            sample, model, criterion, optimizer, update_num, ignore_grad
        )
        if ignore_grad and self._gates is not None:  # a dummy batch of a process that has no batch left
            self._gates.add_sample_size(-sample_size)
        return loss, sample_size, logging_output

    def optimizer_step(self, optimizer, model, update_num):
        if self._refused is not None:
            raise self._refused
        scale = _loss_scale(optimizer)  # read before the step, which may change it for the next update
        super().optimizer_step(optimizer, model, update_num)
        if self._gates is None:
            return
        if _loss_scale(optimizer) < scale:  # torch's scaler found an overflow and skipped the step of the weights
            self._gates.begin_update()
        else:
            self._gates.step(loss_scale=scale, all_reduce=_sum_over_processes)

    def _plan(self, gates: Gates, update: int, epoch: int, done: int) -> None:
        """Plan the end of the search from the length of the training, before the first update of an epoch."""
        cfg, drops = self.cfg, self._batching.get("skip_remainder_batch", False)
        length = Length(cfg.max_update, cfg.max_epoch, cfg.update_freq, self._batches_of, drops)
        if not gates.searching(update):
            return
        whole, left, before = length.left(), length.left(update, epoch, done), float(gates.search)
        if whole is None or left is None:
            return
        try:
            gates.plan_search(update, left, self._share, whole)
        except BadInput as problem:  # raised in optimizer_step, because fairseq writes a crash.pt for errors from here
            self._refused = problem
        else:
            if float(gates.search) != before:
                logger.info(
                    "the choice of %s is final at update %d of %d", gates.inventory.noun, gates.search, update + left
                )

    def _shard(self, epoch: int) -> int:
        return (epoch - 1) % len(utils.split_paths(self.cfg.data))

    def _batches_of(self, epoch: int) -> int:
        """Number of batches in an epoch. Several data folders (``shard1:shard2``) take turns, one per epoch."""
        shard, subset = self._shard(epoch), self.training_subset
        if shard not in self._number_of:
            in_use = self.datasets[subset]
            self.load_dataset(subset, epoch=epoch, combine=True)
            dataset, self.datasets[subset] = self.datasets[subset], in_use
            options = {**self._batching, "epoch": epoch, "disable_iterator_cache": True}
            batches = super().get_batch_iterator(dataset, **options)  # type: ignore[misc]  # the fairseq task has it
            self._number_of[shard] = len(batches)
        return self._number_of[shard]


def _loss_scale(optimizer: Any) -> float:
    """Factor by which mixed precision multiplies the loss, from fairseq's scaler (fp16) or torch's (amp)."""
    scaler = getattr(optimizer, "scaler", None)
    if scaler is None:
        return 1.0
    return scaler.get_scale() if hasattr(scaler, "get_scale") else scaler.loss_scale


def _sum_over_processes(tensor: Tensor) -> Tensor:
    if distributed.get_data_parallel_world_size() > 1:
        group = distributed.get_data_parallel_group()
        device = "cuda" if torch.distributed.get_backend(group) == "nccl" else "cpu"
        return distributed.all_reduce(tensor.to(device), group=group).to("cpu")
    return tensor
