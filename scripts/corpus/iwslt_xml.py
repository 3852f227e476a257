"""Which lines of TED's and WMT's mark-up are text: the rules of fairseq's prepare-iwslt14.sh and prepare-wmt14en2de.sh.

The training text of IWSLT has one line of text per sentence, and between the talks lines of mark-up; titles and
descriptions are text, too. Development and test sets are XML or SGML with one <seg id="..."> a line. Neither is well
formed XML throughout (bare &, SGML without a root), so both are read line by line, as everybody does. Entities such as
&amp; stay as they are, for the same reason: the published figures were made so.
"""

import re
from collections.abc import Iterable, Iterator

NO_TEXT = ("<url>", "<talkid>", "<keywords>")
TITLES = re.compile("</?(?:title|description)>")
SEGMENT_BEGIN = re.compile(r'<seg id="[0-9]*">\s*')
SEGMENT_END = re.compile(r"\s*</seg>\s*")


def training_text(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if not any(tag in line for tag in NO_TEXT):
            yield TITLES.sub("", line)


def segments(lines: Iterable[str]) -> Iterator[str]:
    """The typographic apostrophe becomes the plain one, so that the tokeniser splits "it’s" like "it's"."""
    for line in lines:
        if "<seg id" in line:
            yield SEGMENT_END.sub("", SEGMENT_BEGIN.sub("", line)).replace("’", "'")
