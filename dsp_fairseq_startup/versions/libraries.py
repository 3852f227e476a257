"""Mends for fairseq with today's numpy and torch, and for hydra together with pytest."""

import types

from .. import MENDED_PACKAGES
from ..mending import View, around, mend


@mend(
    "fairseq.data.data_utils",
    "fairseq.data.language_pair_dataset",
    "fairseq.data.token_block_dataset",
    "fairseq.modules.dynamic_crf_layer",
)
def give_numpy_its_old_names(module):
    """`numpy` has no `int` and `float` (since 1.24), no `compat.long` (2.0), no argument `interpolation` (2.4).

    `--num-batch-buckets`, language models, the masks of speech models and the CRF of NAT models use these names.
    """
    numpy = module.np

    def percentile(values, percentages, interpolation="linear"):
        return numpy.percentile(values, percentages, method=interpolation)

    module.np = View(numpy, int=int, float=float, compat=types.SimpleNamespace(long=int), percentile=percentile)


@around("fairseq.modules.transformer_layer:TransformerEncoderLayerBase.__init__")
def leave_out_the_fast_path(original_init, self, *args, **kwargs):
    """`RuntimeError: Mask Type should be defined` when a stock `transformer` decodes, with torch >= 1.13.

    On its "BetterTransformer" fast path, fairseq does not give `_transformer_encoder_layer_fwd` the type of the mask.
    """
    original_init(self, *args, **kwargs)
    self.can_use_fastpath = False


@around("_pytest.assertion.rewrite:AssertionRewritingHook.find_spec")
def leave_our_modules_to_our_finder(find_spec, self, name, path=None, target=None):
    """`mutable default ... use default_factory` when pytest starts, with Python >= 3.11.

    pytest loads the plug-in of hydra 1.0.7, and with it hydra, through a finder that comes before ours.
    """
    if name.partition(".")[0] in MENDED_PACKAGES:
        return None
    return find_spec(self, name, path, target)
