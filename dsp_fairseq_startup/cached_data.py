"""`KeyError: 21` with `--dataset-impl cached`; with `lazy`, sentences of other places when `--num-workers` > 1

Where: `fairseq.data.indexed_dataset`. The first batch is read before anything is in the cache, and from a file that
worker processes then share, its position included. When: always.
"""

import os


def mend(indexed_dataset):
    lazy, cached = indexed_dataset.IndexedDataset, indexed_dataset.IndexedCachedDataset
    lazy.__getitem__ = in_its_own_process(lazy.__getitem__)
    cached.__getitem__ = from_the_file_until_cached(cached.__getitem__, lazy.__getitem__)


def in_its_own_process(read):
    def __getitem__(self, i):
        if self.data_file and getattr(self, "_opened_by", None) != os.getpid():
            self.data_file = None  # the parent's: left open there
        if not self.data_file:
            self.read_data(self.path)
            self._opened_by = os.getpid()
        return read(self, i)

    return __getitem__


def from_the_file_until_cached(read_cache, read_file):
    def __getitem__(self, i):
        return read_cache(self, i) if i in self.cache_index else read_file(self, i)

    return __getitem__
