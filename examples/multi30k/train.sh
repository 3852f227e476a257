#!/usr/bin/env bash
# One training on Multi30k in the setting of the published figures, decoded and scored with stock commands.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/runs.sh"

usage() {
    cat <<EOF
usage: train.sh K|LO:HI|all [--method M] [--seed N] [--tune E] [--out DIR] [--name NAME] [-- FLAGS OF fairseq-train]
  K            heads of the whole model to keep, 0 to 36; all: the unpruned model; LO:HI: every update draws its
               own K, and prune.sh --method any-k takes any of them from this one training
  --method M   dsp (default), dsp-published, ste or uniform
  --seed N     default 1
  --tune E     afterwards remove the heads that were not chosen, and train what is left on for E epochs
  --out DIR    the folder given to prepare.sh (default: examples/multi30k/work)
  --name NAME  folder of this run under DIR/runs (default: from K, method and seed)
What is finished is skipped; an interrupted training goes on from its last epoch when called again.
For methods that choose the heads of a trained model see prune.sh.
EOF
}

out=$here/work keep="" method=dsp seed=1 name="" tune="" extra=()
while [ $# -gt 0 ]; do
    case $1 in
        --method) method=$(value_of "$@"); shift 2 ;;
        --seed) seed=$(value_of "$@"); shift 2 ;;
        --tune) tune=$(value_of "$@"); shift 2 ;;
        --out) out=$(value_of "$@"); shift 2 ;;
        --name) name=$(value_of "$@"); shift 2 ;;
        --) shift; extra=("$@"); break ;;
        -h|--help) usage; exit ;;
        -*) misuse "unknown option $1: known are --method, --seed, --tune, --out, --name; flags of fairseq-train come after --" ;;
        *) [ -z "$keep" ] || misuse "one K is needed, not two ($keep and $1)"; keep=$1; shift ;;
    esac
done
check_number_of_heads ", a range LO:HI, or all for the unpruned model" "|[0-9]+:[0-9]+|all"
check_common_options
[[ $keep != *:* || -z $tune ]] || misuse "--tune $tune: a training for the range $keep has no one mask to train on under: tune prune.sh K --method any-k instead"

pruning=(--pruning-method "$method" --heads-to-keep "$keep")
[[ $keep != *:* ]] || pruning=(--pruning-method "$method" --heads-to-keep-range "$keep")
[ "$method" != dsp-published ] ||
    pruning+=(--initial-temperature 0.1 --final-temperature 1e-8 --cooldown-updates 1070 --pruning-lr 0.2)
default_name=$method-${keep/:/to}-seed$seed
if [ "$keep" = all ]; then
    [ "$method" = dsp ] || misuse "--method $method: does not go with all, which prunes nothing; give a number of heads"
    pruning=(--pruning-method none)
    default_name=all-seed$seed
fi
check_extra_flags "$default_name"

use_data
setting
training=(
    "${setting[@]}" "${pruning[@]}" ${extra[@]+"${extra[@]}"}
    --no-epoch-checkpoints --log-format json
)

activate python fairseq-train fairseq-generate dsp-fairseq sacrebleu
claim_run "${name:-$default_name}" "${training[@]}"
train "${training[@]}"
[ -z "$tune" ] || tune
evaluate
