"""Start-up hook: makes fairseq 0.12.2 work on today's Python and torch.

``dsp_fairseq_startup.pth`` in site-packages imports this package at every start of Python, before any
command of fairseq runs (``--user-dir`` would come too late: ``fairseq-train`` imports fairseq first). So
this file imports nothing but ``sys`` and does nothing until a package of ``MENDED_PACKAGES`` is imported.

There is one file per mend beside this one; each says what breaks, where, and in which versions. None of
them may import ``dsp_fairseq``: ``--user-dir`` refuses a module of that name that came from elsewhere.
"""

import sys

MENDED_PACKAGES = frozenset(("fairseq", "fairseq_cli", "hydra"))

# module -> files of this package whose `mend(module)` run, in this order, as soon as that module has been imported
MENDS_BY_MODULE = {
    "fairseq.checkpoint_utils": "checkpoints overridden",
    "fairseq.data.data_utils": "numpy_names",
    "fairseq.data.language_pair_dataset": "numpy_names",
    "fairseq.data.token_block_dataset": "numpy_names",
    "fairseq.distributed.utils": "distributed",
    "fairseq.file_io": "whole_copies",
    "fairseq.file_utils": "archives",
    "fairseq.modules.dynamic_crf_layer": "numpy_names",
    "fairseq.modules.transformer_layer": "encoder_fast_path",
    "_pytest.assertion.rewrite": "pytest_rewriting",
    "hydra._internal.utils": "hydra_errors",
    "hydra.core.plugins": "hydra_plugins",
    "fairseq.options": "options",
    "fairseq.sequence_generator": "alignment",
    "fairseq_cli.eval_lm": "model_overrides console",
    "fairseq_cli.generate": "model_overrides console",
    "fairseq_cli.hydra_train": "console",
    "fairseq_cli.interactive": "model_overrides console",
    "fairseq_cli.preprocess": "console",
    "fairseq_cli.score": "console",
    "fairseq_cli.train": "console",
    "fairseq_cli.validate": "model_overrides console",
}


class MendingFinder:
    """Finds modules as the other finders do; ours get mended while they load."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in MENDED_PACKAGES and name not in MENDS_BY_MODULE:
            return None
        spec = self._find_with_the_others(name, path, target)
        if spec is not None and spec.loader is not None:
            from .loading import MendingLoader

            spec.loader = MendingLoader(spec.loader, MENDS_BY_MODULE.get(name, "").split())
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


def __getattr__(name):
    # `from dsp_fairseq_startup import BadCheckpoint`, without importing that file at every start
    if name == "BadCheckpoint":
        from .bad_checkpoint import BadCheckpoint

        return BadCheckpoint
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.meta_path.insert(0, MendingFinder())
