#!/usr/bin/env bash
# Multi30k German to English: raw text -> tokenised, lower-cased, BPE, binarised for fairseq-train.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../common.sh"

usage() {
    cat <<EOF
usage: prepare.sh [--out DIR] [--force]
  --out DIR   where everything goes (default: examples/multi30k/work); the result is DIR/data-bin
  --force     make everything again; without it finished stages are skipped and nothing is overwritten
environment:
  MULTI30K_DIR  folder with the six files {train,val,test_2016_flickr}.{de,en}.gz (default: download them)
  DSP_VENV      virtual environment to use (default: dsp-fairseq on PATH, else scripts/setup.sh makes .venv)
  BPE_MERGES    merges to learn (default: 10000)
EOF
}

out_and_force "$@"
merges=${BPE_MERGES:-10000}
[[ $merges =~ ^[1-9][0-9]*$ ]] || misuse "BPE_MERGES=$merges: a whole number from 1 up is needed"

splits="train val test_2016_flickr"

fetch_raw() { python "$here/raw.py" "$1"; }

# lower-cased first: full stops after abbreviations are told by case, so the other order gives other tokens.
# XML escapes (&apos;) are sacremoses' default and stay on; `tokenize -x` means on or off depending on click's version
tokenise() {
    local split language
    mkdir "$1"
    for split in $splits; do
        for language in de en; do
            python -c 'import sys; sys.stdout.writelines(line.lower() for line in sys.stdin)' \
                <"$out/raw/$split.$language" | sacremoses -q -l $language tokenize >"$1/$split.$language"
            same_lines "$out/raw/$split.$language" "$1/$split.$language"
        done
    done
}

learn_bpe() { cat "$out"/tok/train.de "$out"/tok/train.en | subword-nmt learn-bpe -s "$merges" >"$1"; }

apply_bpe() {
    local split language
    mkdir "$1"
    for split in $splits; do
        for language in de en; do
            subword-nmt apply-bpe -c "$out/codes" <"$out/tok/$split.$language" >"$1/$split.$language"
            same_lines "$out/tok/$split.$language" "$1/$split.$language"
        done
    done
}

binarise() {
    fairseq-preprocess --source-lang de --target-lang en --joined-dictionary --destdir "$1" \
        --trainpref "$out/bpe/train" --validpref "$out/bpe/val" --testpref "$out/bpe/test_2016_flickr"
}

same_lines() {
    local before after
    before=$(wc -l <"$1") after=$(wc -l <"$2")
    [ "$before" -eq "$after" ] || { say "$before lines in $1 became $after lines in $2"; return 1; }
}

activate python sacremoses subword-nmt fairseq-preprocess
lock "$out"
out=$(cd "$out" && pwd)
if [ "$force" = yes ]; then
    rm -rf "$out/raw.new"
    stage raw fetch_raw "$out/raw.new"               # the old results go only when there is new text
    for result in data-bin bpe codes tok raw; do rm -rf "${out:?}/$result"; done
    mv "$out/raw.new" "$out/raw"
else
    stage raw fetch_raw "$out/raw"
fi
stage tokenise tokenise "$out/tok"
stage learn-bpe learn_bpe "$out/codes"
stage apply-bpe apply_bpe "$out/bpe"
stage binarise binarise "$out/data-bin"

# fairseq adds four special symbols and pads the dictionary to a multiple of eight
pairs=$(wc -l <"$out/raw/train.de") types=$(($(wc -l <"$out/data-bin/dict.de.txt") + 4))
say "$pairs training pairs, $types types: $out/data-bin"
