"""An archive that writes outside the folder it is extracted to

Where: `fairseq.file_utils.load_archive_file`, which `from_pretrained("model.tar.gz")` of the hub interface calls.
When: Python < 3.14, whose `tarfile` extracts whatever an archive names unless it is told otherwise.
"""

import tarfile

from .bad_checkpoint import BadCheckpoint


def mend(file_utils):
    file_utils.tarfile = TarFileOfData


class TarFileOfData(tarfile.TarFile):
    """An archive of which regular files and folders are extracted, and only below the folder that is named."""

    def extractall(self, path=".", members=None, **options):
        if not hasattr(tarfile, "data_filter"):
            raise BadCheckpoint(f"{self.name}: extracting it safely needs Python 3.11.4 or later; extract it by hand")
        try:
            super().extractall(path, members, **{**options, "filter": "data"})
        except tarfile.FilterError as error:
            raise BadCheckpoint(f"{self.name}: refused, because it would write outside its folder: {error}") from error
