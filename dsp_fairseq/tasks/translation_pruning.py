"""fairseq's translation task, which also steps the logits of a gated model."""

import math
from dataclasses import dataclass
from typing import List, Optional

import torch
from fairseq.distributed import utils as distributed
from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import II

from ..config import SEARCH_SHARE
from ..preflight import TASK


@dataclass
class TranslationPruningConfig(TranslationConfig):
    """As ``translation``, plus what is needed to know how many updates are planned."""

    max_epoch: int = II("optimization.max_epoch")
    max_update: int = II("optimization.max_update")
    update_freq: List[int] = II("optimization.update_freq")


@register_task(TASK, dataclass=TranslationPruningConfig)
class TranslationPruningTask(TranslationTask):
    """Everything of ``translation``; after each optimiser step the logits take theirs."""

    def __init__(self, cfg, src_dict, tgt_dict):
        super().__init__(cfg, src_dict, tgt_dict)
        self._gates = None

    def build_model(self, cfg, from_checkpoint=False):
        model = super().build_model(cfg, from_checkpoint)
        self._gates = getattr(model, "gates", None)
        self._pipelined = getattr(cfg, "pruning_mode", None) == "pipelined"
        return model

    def get_batch_iterator(self, dataset, *args, **kwargs):
        batches = super().get_batch_iterator(dataset, *args, **kwargs)
        if self._gates is not None and dataset is self.datasets.get(self.cfg.train_subset):
            total = self._planned_updates(len(batches))
            if total is not None:
                # frozen weights cannot train on under the final mask: all of the training is for the choice
                share = 1.0 if self._pipelined else SEARCH_SHARE
                self._gates.plan(max(1, round(share * total)))
        return batches

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        loss, sample_size, logging_output = super().train_step(
            sample, model, criterion, optimizer, update_num, ignore_grad
        )
        if ignore_grad and self._gates is not None:  # a batch that only fills up a process
            self._gates.add_sample_size(-sample_size)
        return loss, sample_size, logging_output

    def optimizer_step(self, optimizer, model, update_num):
        scale = _loss_scale(optimizer)  # of the gradients at hand: the step may change it
        super().optimizer_step(optimizer, model, update_num)
        if self._gates is not None:
            self._gates.step(loss_scale=scale, all_reduce=_sum_over_processes)

    def _planned_updates(self, batches: int) -> Optional[int]:
        """Updates of the whole training, as far as --max-update and --max-epoch say."""
        limits = []
        if self.cfg.max_epoch:
            limits.append(self.cfg.max_epoch * math.ceil(batches / self.cfg.update_freq[0]))
        if self.cfg.max_update:
            limits.append(self.cfg.max_update)
        return min(limits) if limits else None


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
