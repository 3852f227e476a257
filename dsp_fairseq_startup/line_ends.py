"""`fairseq-preprocess` doubles sentences (`--workers` > 1) or cuts them in two: text with carriage returns in a line

Where: `fairseq.file_chunker_utils` and `fairseq_cli.preprocess` open text so that a lone CR ends a line, which
neither the offsets of the workers nor the other side of the corpus know of. When: always. Here only LF ends a line; a
CR is white space between words, so CR LF does no harm.
"""

import functools


def mend(module):
    module.open = functools.partial(open, newline="\n")
