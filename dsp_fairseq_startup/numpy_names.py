"""`AttributeError: module 'numpy' has no attribute 'compat'` (or `int`, `float`); `percentile() got an unexpected
keyword argument 'interpolation'`

Where: `--num-batch-buckets`, language models, the masks of speech models, the CRF of NAT models.
When: numpy >= 1.24 for `int` and `float`, >= 2 for `compat.long`, 2.4 at the latest for `interpolation`. The
first three were names of Python's own types; the last is called `method` since numpy 1.22.
"""


def mend(module):
    module.np = _NumpyWithOldNames(module.np)


class _NumpyWithOldNames:
    """numpy as one module of fairseq sees it."""

    int = int
    float = float

    class compat:
        long = int

    def __init__(self, numpy):
        self._numpy = numpy

    def percentile(self, values, percentages, interpolation="linear"):
        return self._numpy.percentile(values, percentages, method=interpolation)

    def __getattr__(self, name):
        return getattr(self._numpy, name)
