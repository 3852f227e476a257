#!/usr/bin/env bash
# IWSLT 2014 (TED talks), German to English by default: archive -> tokenised, lower-cased, BPE, binarised.
#
# The steps are those of fairseq's prepare-iwslt14.sh, on whose split nearly all published figures of this data set
# stand: tokenise, drop pairs longer than 175 tokens or more unequal than 1.5, lower-case, every 23rd pair to
# validation, test = dev2010 + dev2012 (TEDx) + tst2010 + tst2011 + tst2012, joint BPE with 10,000 merges learned on the
# training pairs. Both directions use the XX-en archive. fairseq's script ends with separate dictionaries or a joined
# one, as one likes; here it is joined.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/prepare-common.sh"

corpus_name=iwslt14 out=data/iwslt14 source_language=de target_language=en merges=10000
clean_before=yes clean_options=(--min 1 --max 175 --ratio 1.5) every=23
lower=yes

usage() {
    cat <<EOF
usage: prepare-iwslt14.sh [options]
  --keep-case       no lower-casing (customary is lower case)
$(common_usage)
  IWSLT14_ARCHIVE   your copy of the archive, de-en.tgz for German (default: download it)
EOF
}

own_option() {
    case $1 in
        --keep-case) lower=no ;;
        *) return 1 ;;
    esac
}

prepare_options "$@"
known_languages ar de es fa fr he it nl pb pl ro ru sl tr zh
[ "$lower" = no ] || tokenise_options=(--lower-case)
other=$source_language
[ "$other" != en ] || other=$target_language

begin "lower-case=$lower"
make_raw get_archive "$other-en.tgz" "${IWSLT14_ARCHIVE:-}"
make_data
