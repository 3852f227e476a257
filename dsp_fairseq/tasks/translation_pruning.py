"""fairseq's translation task, which also steps the logits of a gated model."""

import logging
from dataclasses import dataclass
from typing import Optional

import torch
from fairseq import utils
from fairseq.distributed import utils as distributed
from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import II

from ..config import SEARCH_SHARE
from ..errors import BadInput
from ..preflight import TASK
from .length import Length

logger = logging.getLogger(__name__)


@dataclass
class TranslationPruningConfig(TranslationConfig):
    """As ``translation``, plus what is needed to know how many updates are planned."""

    max_epoch: int = II("optimization.max_epoch")
    max_update: int = II("optimization.max_update")
    update_freq: list[int] = II("optimization.update_freq")


@register_task(TASK, dataclass=TranslationPruningConfig)
class TranslationPruningTask(TranslationTask):
    """Everything of ``translation``; after each optimiser step the logits take theirs."""

    def __init__(self, cfg, src_dict, tgt_dict):
        super().__init__(cfg, src_dict, tgt_dict)
        self._gates = None
        self._batches = None  # fairseq's iterator over those of the training
        self._batching: dict[str, object] = {}  # how they were made
        self._number_of: dict[int, int] = {}  # of batches, by shard of the data
        self._begun = None  # the epoch that has just begun, and how many of its batches an earlier run has done
        self._refused: Optional[BadInput] = None

    def build_model(self, cfg, from_checkpoint=False):
        model = super().build_model(cfg, from_checkpoint)
        self._gates = getattr(model, "gates", None)
        self._share = SEARCH_SHARE[getattr(cfg, "pruning_mode", None) or "joint"]
        return model

    def get_batch_iterator(self, dataset, **options):
        batches = super().get_batch_iterator(dataset, **options)
        if dataset is self.datasets.get(self.cfg.train_subset):
            self._batches, self._batching = batches, options
            self._number_of[self._shard(options.get("epoch", 1))] = len(batches)
        return batches

    def begin_epoch(self, epoch, model):
        super().begin_epoch(epoch, model)
        if self._batches is not None:
            self._begun = (epoch, self._batches.iterations_in_epoch)

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        if self._begun is not None and self._gates is not None:
            self._plan(update_num)
        loss, sample_size, logging_output = super().train_step(
            sample, model, criterion, optimizer, update_num, ignore_grad
        )
        if ignore_grad and self._gates is not None:  # a batch that only fills up a process
            self._gates.add_sample_size(-sample_size)
        return loss, sample_size, logging_output

    def optimizer_step(self, optimizer, model, update_num):
        if self._refused is not None:
            raise self._refused
        scale = _loss_scale(optimizer)  # of the gradients at hand: the step may change it
        super().optimizer_step(optimizer, model, update_num)
        if self._gates is None:
            return
        if _loss_scale(optimizer) < scale:  # torch's scaler has found an overflow and left out the step of the weights
            self._gates.begin_update()
        else:
            self._gates.step(loss_scale=scale, all_reduce=_sum_over_processes)

    def _plan(self, update: int) -> None:
        """Tell the gates how long the training is, where the first update of an epoch begins."""
        (epoch, done), self._begun = self._begun, None
        cfg, drops = self.cfg, self._batching.get("skip_remainder_batch", False)
        length = Length(cfg.max_update, cfg.max_epoch, cfg.update_freq, self._batches_of, drops)
        if not self._gates.choosing(update) or length.left() is None:
            return
        left, before = length.left(update, epoch, done), float(self._gates.search)
        try:
            self._gates.plan(update, left, self._share, length.left())
        except BadInput as problem:  # at this place fairseq would write a crash.pt: told before anything is changed
            self._refused = problem
        else:
            if float(self._gates.search) != before:
                logger.info("the choice of heads is final at update %d of %d", self._gates.search, update + left)

    def _shard(self, epoch: int) -> int:
        return (epoch - 1) % len(utils.split_paths(self.cfg.data))

    def _batches_of(self, epoch: int) -> int:
        """Batches of an epoch; data in several folders (``shard1:shard2``) are read in turns, an epoch each."""
        shard, subset = self._shard(epoch), self.cfg.train_subset
        if shard not in self._number_of:
            in_use = self.datasets[subset]
            self.load_dataset(subset, epoch=epoch, combine=True)
            there, self.datasets[subset] = self.datasets[subset], in_use
            options = {**self._batching, "epoch": epoch, "disable_iterator_cache": True}
            self._number_of[shard] = len(super().get_batch_iterator(there, **options))
        return self._number_of[shard]


def _loss_scale(optimizer) -> float:
    """What mixed precision multiplied the loss by: fairseq's scaler (fp16) or torch's (amp)."""
    scaler = getattr(optimizer, "scaler", None)
    if scaler is None:
        return 1.0
    return scaler.get_scale() if hasattr(scaler, "get_scale") else scaler.loss_scale


def _sum_over_processes(tensor):
    if distributed.get_data_parallel_world_size() > 1:
        group = distributed.get_data_parallel_group()
        device = "cuda" if torch.distributed.get_backend(group) == "nccl" else "cpu"
        return distributed.all_reduce(tensor.to(device), group=group).to("cpu")
    return tensor
