"""Stages of scripts/prepare-*.sh, one question per file; most run as `python -m corpus.NAME` with scripts/ on the path.

sources     where is an archive, what is its checksum, who may use it?
download    how does it get here whole, also after an interruption?
archive     what does a tar.gz hold, and is it undamaged?
iwslt_xml   which lines of TED's and WMT's markup are text?
raw         what is the raw text of a data set, with as many lines on both sides?
tokenise    what are the tokens of a line?
clean       which pairs are too long, too short, too unequal?
split       which pairs are for validation?
subwords    BPE or SentencePiece: how is it learned and applied?
text, parallel, problem    lines of UTF-8, many processes, errors in one line
"""
