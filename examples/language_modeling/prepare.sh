#!/usr/bin/env bash
# A text for language models: WikiText-103 by default, or any text -> tokens, dictionary, binarised for fairseq-train.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../common.sh"

usage() {
    cat <<TEXT
usage: prepare.sh [--out DIR] [--force]
  --out DIR   where everything goes (default: examples/language_modeling/work); the result is DIR/data-bin
  --force     make everything again; without it finished stages are skipped and nothing is overwritten
environment:
  TEXT                 a text of your own, plain or .gz, instead of WikiText-103: paragraphs are separated by empty
                       lines, or one stands on each line if there are none; the last tenth is for validation and test
  BPE_MERGES           merges to learn for TEXT (default: 4000; 0 makes words of it)
  MIN_COUNT            TEXT with BPE_MERGES=0: words that are rarer become <unk> (default: 3)
  WIKITEXT103_ARCHIVE  your copy of wikitext-103-v1.zip (default: download it, 181 MB)
  DSP_VENV             virtual environment to use (default: dsp-fairseq on PATH, else scripts/setup.sh makes .venv)
TEXT
}

out_and_force "$@"
text=${TEXT:-} merges=${BPE_MERGES:-4000} least=${MIN_COUNT:-3}
[[ $merges =~ ^[0-9]+$ ]] || misuse "BPE_MERGES=$merges: a whole number from 0 up is needed"
[[ $least =~ ^[1-9][0-9]*$ ]] || misuse "MIN_COUNT=$least: a whole number from 1 up is needed"
[ -z "$text" ] || [ -f "$text" ] || misuse "TEXT=$text: no such file"
archive=wikitext-103-v1.zip

get_archive() {
    export PYTHONPATH=$project/scripts
    if [ -n "${WIKITEXT103_ARCHIVE:-}" ]; then
        python -m corpus.download "$archive" "$WIKITEXT103_ARCHIVE" --local
        ln -s "$(realpath "$WIKITEXT103_ARCHIVE")" "$1"
    else
        python -m corpus.download "$archive" "$1" --keep "$out/$archive.part"
    fi
}

unpack() { python "$here/text.py" wikitext "$out/$archive" "$1"; }

split_text() { python "$here/text.py" split "$text" "$1"; }

learn_bpe() { subword-nmt learn-bpe -s "$merges" <"$out/tok/train.txt" >"$1"; }

apply_bpe() {
    mkdir "$1"
    for part in train valid test; do
        subword-nmt apply-bpe -c "$out/codes" <"$out/tok/$part.txt" >"$1/$part.txt"
    done
}

binarise() {
    fairseq-preprocess --only-source --destdir "$1" --trainpref "$from/train.txt" --validpref "$from/valid.txt" \
        --testpref "$from/test.txt" "${threshold[@]}"
}

lock "$out"
settings="text=${text:-wikitext-103} merges=$merges least=$least"
if [ "$force" = yes ]; then
    rm -rf "$out"/{tok,codes,bpe,data-bin,settings}
elif [ -e "$out/settings" ] && [ "$(cat "$out/settings")" != "$settings" ]; then
    misuse "$out was made with other settings ($(cat "$out/settings")): choose another folder with --out, or say --force"
fi
say "$settings" >"$out/settings"
activate python subword-nmt fairseq-preprocess

threshold=() from=$out/tok
if [ -n "$text" ]; then
    stage tok split_text "$out/tok"
    if [ "$merges" -gt 0 ]; then
        stage codes learn_bpe "$out/codes"
        stage bpe apply_bpe "$out/bpe"
        from=$out/bpe
    else
        threshold=(--thresholdsrc "$least")
    fi
else
    stage archive get_archive "$out/$archive"
    stage tok unpack "$out/tok"
fi
stage data-bin binarise "$out/data-bin"
say "data: $out/data-bin"
