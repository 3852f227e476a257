"""pytest does not start, or cannot import fairseq: `mutable default ... use default_factory`, in hydra

Where: hydra 1.0.7 registers a pytest plug-in, so pytest finds and loads all of hydra by its own finder, which
comes before ours and rewrites the `assert`s. When: hydra beside pytest, with Python >= 3.11.
"""

import functools

from . import MENDED_PACKAGES


def mend(rewrite):
    hook = rewrite.AssertionRewritingHook
    original_find_spec = hook.find_spec

    @functools.wraps(original_find_spec)
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MENDED_PACKAGES:
            return None  # the next finder's, which is ours
        return original_find_spec(self, name, path, target)

    hook.find_spec = find_spec
