"""The exported model, run by CTranslate2."""

from argparse import Namespace

from ..export.dictionaries import Dictionaries
from ..families import known_family
from .settings import Decoding


class ExportedVariant:
    """A folder that ``dsp-fairseq export ctranslate2`` wrote, ready to work; ``options`` are those of its model."""

    def __init__(
        self, options: Namespace, folder: str, words: Dictionaries, decoding: Decoding, compute_type: str = "float32"
    ):
        self._arguments = folder, words, decoding
        self._options, self._type = options, compute_type
        self._load(compute_type)

    def _load(self, compute_type: str) -> None:
        work = known_family(self._options).work()
        self.batches, self.singles = work.exported_jobs(*self._arguments, compute_type, self._options)

    def halve(self) -> None:
        """Compute in float16 from now on."""
        self._load({"float32": "float16"}.get(self._type, f"{self._type}_float16"))
