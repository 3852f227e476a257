#!/usr/bin/env bash
# WMT 2016, English to German by default: archives -> BPE, binarised; newstest2013 validates, newstest2014 tests.
#
# The default is the archive that Google prepared, wmt16_en_de.tar.gz: 4,500,966 pairs of Europarl v7, Common Crawl and
# News Commentary v11, tokenised, at most 80 words, joint BPE with 32,000 merges. "Scaling Neural Machine Translation"
# (Ott et al. 2018), fairseq's published WMT16 models and most work that compares with "Attention Is All You Need" use
# these very subwords, so nothing is tokenised or learned anew; the dictionary has at most 32,768 entries, as there.
# --official makes the text anew from the official archives by the same recipe (Google's wmt16_en_de.sh: tokens without
# -a, 1 to 80 words, ratio 9): about the same pairs, not the same subwords. --sentencepiece needs it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/prepare-common.sh"

corpus_name=google out=data/wmt16ende source_language=en target_language=de merges=32000
clean_before=yes clean_options=(--min 1 --max 80 --ratio 9) every=""

usage() {
    cat <<EOF
usage: prepare-wmt16ende.sh [options]
  --official        make the text from the official archives instead of Google's archive
$(common_usage)
  WMT_ORIG          folder with your copies of the archives (default: download them)
EOF
}

own_option() {
    case $1 in
        --official) corpus_name=wmt16 ;;
        *) return 1 ;;
    esac
}

prepare_options "$@"
archive_names=(training-parallel-{europarl-v7,commoncrawl,nc-v11}.tgz dev.tgz test-full.tgz)
if [ "$corpus_name" = google ]; then
    archive_names=(wmt16_en_de.tar.gz)
    dictionary_options=(--nwordssrc 32768 --nwordstgt 32768)
    [ "$units" = bpe ] || misuse "--sentencepiece needs --official: Google's archive is cut into BPE already"
    [ "$merges" = 32000 ] || misuse "--subwords $merges needs --official: Google's archive has 32000 merges"
    [[ $source_language$target_language =~ ^(en|de){2}$ ]] ||
        misuse "--source $source_language --target $target_language: Google's archive has en and de (see --official)"
else
    known_languages cs de
fi

begin ""
make_raw get_wmt "${archive_names[@]}"
if [ "$corpus_name" = google ]; then
    text=$out/raw
    finish
else
    make_data
fi
