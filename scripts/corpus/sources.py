"""The archives of the official releases: address and checksum, and who published that checksum.

WIT3 (IWSLT) and statmt.org (WMT) publish no checksums themselves. The ones here are those that other projects which
download the same addresses publish and check; where none of them was found, `checksum` is None, and only gzip's own
check (CRC-32 of every archive) protects the content.
"""

from dataclasses import dataclass

TFDS = "TensorFlow Datasets, url_checksums/wmt14_translate.txt"
SACREBLEU = "sacreBLEU 2.6, dataset/__init__.py"
SOCKEYE = "Sockeye, contrib/autopilot/tasks.py"
TORCHTEXT = "torchtext, datasets/wmt14.py"
GIT = "repositories that hold the archive, 19,982,877 bytes, as git's blob id"

MIRROR = "https://dl.fbaipublicfiles.com/fairseq/data/iwslt14"  # where fairseq's own prepare-iwslt14.sh fetches de-en
WIT3 = "https://wit3.fbk.eu/archive/2014-01/texts"
STATMT = "https://www.statmt.org"
DATA_STATMT = "https://data.statmt.org"
# fairseq names drive.google.com/uc?id=...; for files of this size that address answers with a page that asks to
# confirm, and its form leads here
GOOGLE = "https://drive.usercontent.google.com/download?id=0B_bZck-ksdkpM25jRUN2X2UxMm8&export=download&confirm=t"


@dataclass(frozen=True)
class Source:
    """One archive. `checksum` is `md5:...`, `sha256:...` or `git:...` (a blob id), `published` says by whom."""

    url: str
    checksum: str | None = None
    published: str | None = None


SOURCES = {
    "de-en.tgz": Source(f"{MIRROR}/de-en.tgz", "git:aa8c3f40f8836f1d43701448f94fe7e230082b4c", GIT),
    "training-parallel-europarl-v7.tgz": Source(
        f"{STATMT}/wmt13/training-parallel-europarl-v7.tgz",
        "sha256:0224c7c710c8a063dfd893b0cc0830202d61f4c75c17eb8e31836103d27d96e7",
        TFDS,
    ),
    "training-parallel-commoncrawl.tgz": Source(
        f"{STATMT}/wmt13/training-parallel-commoncrawl.tgz",
        "sha256:c7a74e2ea01ac6c920123108627e35278d4ccb5701e15428ffa34de86fa3a9e5",
        TFDS,
    ),
    "training-parallel-nc-v9.tgz": Source(
        f"{STATMT}/wmt14/training-parallel-nc-v9.tgz",
        "sha256:cb8953f292298e6877ae433c98912b927cb0766b303f4540512ddd286c748485",
        TFDS,
    ),
    "training-parallel-nc-v11.tgz": Source(f"{DATA_STATMT}/wmt16/translation-task/training-parallel-nc-v11.tgz"),
    "training-parallel-nc-v12.tgz": Source(
        f"{DATA_STATMT}/wmt17/translation-task/training-parallel-nc-v12.tgz",
        "md5:fc6b83b809347e64f511d291e4bc8731",
        SOCKEYE,
    ),
    "dev.tgz": Source(
        f"{DATA_STATMT}/wmt17/translation-task/dev.tgz",
        "md5:9b1aa63c1cf49dccdd20b962fe313989",
        SACREBLEU,
    ),
    "test-full.tgz": Source(
        f"{STATMT}/wmt14/test-full.tgz",
        "md5:a8cd784e006feb32ac6f3d9ec7eb389a",
        SACREBLEU,
    ),
    # the address of fairseq's examples/language_model/prepare-wikitext-103.sh
    "wikitext-103-v1.zip": Source(
        "https://s3.amazonaws.com/research.metamind.io/wikitext/wikitext-103-v1.zip",
        "md5:9ddaacaf6af0710eda8c456decff7832",
        "torchtext, datasets/wikitext103.py",
    ),
    "wmt16_en_de.tar.gz": Source(GOOGLE, "md5:874ab6bbfe9c21ec987ed1b9347f95ec", TORCHTEXT),
}


def source_of(name: str) -> Source:
    """The archive with this file name; an XX-en.tgz that is not listed is one of WIT3."""
    if name in SOURCES:
        return SOURCES[name]
    pair = name.removesuffix(".tgz")
    first, _, second = pair.partition("-")
    return Source(f"{WIT3}/{first}/{second}/{name}")
