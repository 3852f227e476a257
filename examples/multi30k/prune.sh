#!/usr/bin/env bash
# Choose heads of the trained, unpruned Multi30k model; optionally train on without the others; decode and score.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/runs.sh"

usage() {
    cat <<EOF
usage: prune.sh K [--method M] [--seed N] [--tune E] [--out DIR] [--name NAME] [-- FLAGS]
  K            heads of the whole model to keep, 0 to 36
  --method M   how they are chosen, with the weights as they are:
                 dsp (default), dsp-published, l0    gates learn for one epoch (--pruning-mode pipelined)
                 michel, michel-iterative            gradient importance, at once or 3 heads at a time
                 magnitude, random                   norm of the weights, or chance
               or, from runs/dsp-3to24-seedN, made by train.sh 3:24 --seed N:
                 any-k                               the first K of that training
  --seed N     of the choice, and of the unpruned model that it starts from: runs/all-seedN, made by
               train.sh all --seed N (default 1)
  --tune E     remove the other heads, and train what is left on for E epochs
  --out DIR    the folder given to prepare.sh (default: examples/multi30k/work)
  --name NAME  folder of this run under DIR/runs (default: from method, K and seed)
  FLAGS        of fairseq-train, or of dsp-fairseq importance, for the choice
What is finished is skipped.
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
        -*) misuse "unknown option $1: known are --method, --seed, --tune, --out, --name; further flags come after --" ;;
        *) [ -z "$keep" ] || misuse "one K is needed, not two ($keep and $1)"; keep=$1; shift ;;
    esac
done
check_number_of_heads
check_common_options

gradient=(--score gradient --normalise none --subset train --sentences 1000)
case $method in
    dsp) choice=(--pruning-method dsp) ;;
    dsp-published) choice=(--pruning-method dsp-published --cooldown-updates 250) ;;
    l0) choice=(--pruning-method l0 --l0-penalty 0.02) ;;
    # not the validation set: the table scores on it
    michel) choice=("${gradient[@]}") ;;
    michel-iterative) choice=("${gradient[@]}" --step 3) ;;
    magnitude) choice=(--score magnitude) ;;
    random) choice=(--score random --seed "$seed") ;;
    any-k) choice=() ;;
    *) misuse "--method $method: must be dsp, dsp-published, l0, michel, michel-iterative, magnitude, random or any-k" ;;
esac
choice+=(--heads-to-keep "$keep" ${extra[@]+"${extra[@]}"})
default_name=$method-after-$keep-seed$seed
check_extra_flags "$default_name"

use_data
start=all folder=all
[ "$method" != any-k ] || start=3:24 folder=dsp-3to24
folder=$data/runs/$folder-seed$seed
[ -e "$folder/trained" ] || misuse "$folder is not there or not finished: run train.sh $start --seed $seed --out $out first"
trained=$folder/checkpoint_last.pt
setting

rank() {
    dsp-fairseq importance "$trained" "$data/data-bin" "$1" --json "$run/importance.json" --force "${choice[@]}"
}

take() { dsp-fairseq prune "$trained" "$1" --force "${choice[@]}"; }

validate() {
    fairseq-validate "$data/data-bin" --user-dir "$project/dsp_fairseq" --path "$run/checkpoint_last.pt" \
        --valid-subset valid --max-tokens 2048 >"$1" 2>&1
}

# without_training FUNCTION: a function that writes a checkpoint
without_training() {
    local out=$run                                   # where stage keeps its logs
    stage choose "$1" "$run/checkpoint_last.pt"
    stage validate validate "$run/validate.txt"
}

choose() {
    claim_run "$1" "$method" "$seed" "${choice[@]}"  # the seed says which unpruned model it starts from
    case ${choice[0]} in
        --pruning-method) learn --pruning-mode pipelined --finetune-from-model "$trained" --max-epoch 1 "${choice[@]}" ;;
        --score) without_training rank ;;
        *) without_training take ;;
    esac
}

activate python fairseq-train fairseq-generate fairseq-validate dsp-fairseq sacrebleu
choose "${name:-$default_name}"
[ -z "$tune" ] || tune
evaluate
