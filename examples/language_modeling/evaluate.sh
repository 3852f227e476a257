#!/usr/bin/env bash
# Removes the pruned heads of a trained language model, and measures what is left with stock fairseq-eval-lm.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../common.sh"

usage() {
    cat <<TEXT
usage: evaluate.sh CKPT [--out DIR] [-- FLAGS OF fairseq-eval-lm]
  CKPT       what train.sh wrote; the smaller model is written beside it, as small.pt
  --out DIR  the folder that prepare.sh filled (default: examples/language_modeling/work)
The perplexity is that of the tokens of the data, on the validation and the test set. Every word has the memory of the
model, or for a transformer 128 words, before it (--context-window).
TEXT
}

out=$here/work checkpoint=""
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=$(value_of "$@"); shift 2 ;;
        -h|--help) usage; exit ;;
        --) shift; break ;;
        -*) misuse "unknown option $1; see $script --help" ;;
        *) checkpoint=$1; shift ;;
    esac
done
[ -n "$checkpoint" ] || misuse "CKPT is missing; see $script --help"
[ -f "$checkpoint" ] || misuse "$checkpoint: no such file"
[ -d "$out/data-bin" ] || misuse "$out/data-bin is missing: run prepare.sh first, or say --out"
activate fairseq-eval-lm dsp-fairseq

small=$(dirname "$checkpoint")/small.pt
dsp-fairseq prune "$checkpoint" "$small" --force
for subset in valid test; do
    printf '%s: ' "$subset"
    fairseq-eval-lm "$out/data-bin" --user-dir "$project/dsp_fairseq" --path "$small" --gen-subset "$subset" \
        --tokens-per-sample 256 --context-window 128 --batch-size 16 "$@" 2>&1 |
        tee "$(dirname "$checkpoint")/eval-$subset.log" | grep -oE 'Loss.*|[^ ]+ error: .*' || fail "fairseq-eval-lm: see eval-$subset.log"
done
