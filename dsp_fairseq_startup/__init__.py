"""Start-up hook: makes fairseq 0.12.2 work on today's Python and torch.

``dsp_fairseq_startup.pth`` in site-packages imports this package at every start of Python, before any
command of fairseq runs (``--user-dir`` would come too late: ``fairseq-train`` imports fairseq first). So
this file imports nothing but ``sys`` and does nothing until a package of ``MENDED_PACKAGES`` is imported.

There is one file per mend beside this one; each says what breaks, where, and in which versions. None of
them may import ``dsp_fairseq``: ``--user-dir`` refuses a module of that name that came from elsewhere.
"""

import sys
from _thread import get_ident

MENDED_PACKAGES = frozenset(("fairseq", "fairseq_cli", "hydra"))

# module -> files of this package whose `mend(module)` run, in this order, as soon as that module has been imported
MENDS_BY_MODULE = {
    "fairseq.checkpoint_utils": "checkpoints overridden vocabulary unfit_options best_checkpoint saving one_training",
    "fairseq.criterions": "user_dir",
    "fairseq.data.data_utils": "numpy_names known_words",
    "fairseq.data.dictionary": "dictionaries",
    "fairseq.data.indexed_dataset": "cached_data damaged_data",
    "fairseq.data.language_pair_dataset": "numpy_names",
    "fairseq.data.token_block_dataset": "numpy_names",
    "fairseq.distributed.utils": "distributed",
    "fairseq.file_chunker_utils": "line_ends",
    "fairseq.file_io": "whole_copies",
    "fairseq.file_utils": "archives",
    "fairseq.models": "user_dir",
    "fairseq.models.fairseq_model": "replace_unk",
    "fairseq.modules.dynamic_crf_layer": "numpy_names",
    "fairseq.modules.transformer_layer": "encoder_fast_path",
    "fairseq.nan_detector": "divergence",
    "fairseq.optim.amp_optimizer": "divergence",
    "fairseq.tasks.translation": "empty_hypotheses",
    "fairseq.trainer": "divergence training_state",
    "_pytest.assertion.rewrite": "pytest_rewriting",
    "hydra._internal.utils": "hydra_errors",
    "hydra.core.plugins": "hydra_plugins",
    "fairseq.options": "options user_dir",
    "fairseq.scoring.bleu": "empty_bleu",
    "fairseq.sequence_generator": "alignment",
    "fairseq.tasks": "user_dir",
    "fairseq.tasks.fairseq_task": "replace_unk",
    "fairseq.utils": "replace_unk",
    "fairseq_cli.eval_lm": "model_overrides nothing_scored decoding_options console",
    "fairseq_cli.generate": "model_overrides unread_options decoding_options console",
    "fairseq_cli.hydra_train": "console",
    "fairseq_cli.interactive": "model_overrides interactive unread_options decoding_options console",
    "fairseq_cli.preprocess": "line_ends preprocessing console",
    "fairseq_cli.score": "score console",
    "fairseq_cli.train": "best_metric best_checkpoint before_training console",
    "fairseq_cli.validate": "model_overrides unread_options decoding_options console",
}


class MendingFinder:
    """Finds modules as the other finders do; ours get mended while they load."""

    def __init__(self):
        self._asked = set()  # (thread, module): another finder may ask all the others just as this one does

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in MENDED_PACKAGES and name not in MENDS_BY_MODULE:
            return None
        asked = get_ident(), name
        if asked in self._asked:
            return None
        self._asked.add(asked)
        try:
            spec = self._find_with_the_others(name, path, target)
        finally:
            self._asked.remove(asked)
        if spec is not None and spec.loader is not None:
            from .loading import MendingLoader

            spec.loader = MendingLoader(spec.loader, mends_of(name))
        return spec

    def _find_with_the_others(self, name, path, target):
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if finder is self or find_spec is None:
                continue
            spec = find_spec(name, path, target)
            if spec is not None:
                return spec
        return None


def mends_of(name):
    return MENDS_BY_MODULE.get(name, "").split()


def __getattr__(name):
    # `from dsp_fairseq_startup import BadCheckpoint`, without importing that file at every start
    if name == "BadCheckpoint":
        from .bad_checkpoint import BadCheckpoint

        return BadCheckpoint
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# a second copy of this package, of another checkout, would mend what is mended
if not any(type(finder).__name__ == "MendingFinder" for finder in sys.meta_path):
    sys.meta_path.insert(0, MendingFinder())
