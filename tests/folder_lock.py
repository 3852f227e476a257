"""What a training does with its folder before the first update, for tests of the lock on it."""

import argparse

from dsp_fairseq_startup.training import one_folder


def load(folder, rank=0, no_save=False):
    """Load a checkpoint as a training does before its first update."""
    processes = argparse.Namespace(distributed_rank=rank)
    trainer = argparse.Namespace(cfg=argparse.Namespace(distributed_training=processes))
    cfg = argparse.Namespace(save_dir=str(folder), no_save=no_save)
    return one_folder.lock_the_folder(lambda *_, **__: "loaded", cfg, trainer)
