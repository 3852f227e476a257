#!/usr/bin/env bash
# One training on Multi30k in the setting of the published figures, decoded and scored with stock commands.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../common.sh"

usage() {
    cat <<EOF
usage: train.sh K|all [--method M] [--seed N] [--out DIR] [--name NAME] [-- FLAGS OF fairseq-train]
  K            heads of the whole model to keep, 0 to 36; all: the unpruned model
  --method M   dsp (default), dsp-published, ste or uniform
  --seed N     default 1
  --out DIR    the folder given to prepare.sh (default: examples/multi30k/work)
  --name NAME  folder of this run under DIR/runs (default: from K, method and seed)
What is finished is skipped; an interrupted training goes on from its last epoch when called again.
EOF
}

out=$here/work keep="" method=dsp seed=1 name="" extra=()
while [ $# -gt 0 ]; do
    case $1 in
        --method) method=$(value_of "$@"); shift 2 ;;
        --seed) seed=$(value_of "$@"); shift 2 ;;
        --out) out=$(value_of "$@"); shift 2 ;;
        --name) name=$(value_of "$@"); shift 2 ;;
        --) shift; extra=("$@"); break ;;
        -h|--help) usage; exit ;;
        -*) misuse "unknown option $1: known are --method, --seed, --out, --name; flags of fairseq-train come after --" ;;
        *) [ -z "$keep" ] || misuse "one K is needed, not two ($keep and $1)"; keep=$1; shift ;;
    esac
done
[ -n "$keep" ] || misuse "the number of heads to keep is missing: say K, or all for the unpruned model"
[[ $keep =~ ^([0-9]+|all)$ ]] || misuse "K is $keep: must be a number of heads, or all"
[[ $seed =~ ^[0-9]+$ ]] || misuse "--seed $seed: must be a whole number"
[[ $name != */* ]] || misuse "--name $name: must be a plain folder name; --out says where it goes"

pruning=(--pruning-method "$method" --heads-to-keep "$keep")
[ "$method" != dsp-published ] ||
    pruning+=(--initial-temperature 0.1 --final-temperature 1e-8 --cooldown-updates 1070 --pruning-lr 0.2)
default_name=$method-$keep-seed$seed
if [ "$keep" = all ]; then
    [ "$method" = dsp ] || misuse "--method $method: does not go with all, which prunes nothing; give a number of heads"
    pruning=(--pruning-method none)
    default_name=all-seed$seed
fi

[ -e "$out/data-bin" ] || misuse "$out/data-bin does not exist: run prepare.sh --out $out first"
data=$(cd "$out" && pwd)
run=$data/runs/${name:-$default_name}

training=(
    --user-dir "$project/dsp_fairseq" --task translation_pruning
    --criterion dsp_label_smoothed_cross_entropy --label-smoothing 0.1
    --arch gated_transformer_iwslt_de_en --encoder-layers 3 --decoder-layers 3
    --encoder-embed-dim 128 --decoder-embed-dim 128 --encoder-ffn-embed-dim 256 --decoder-ffn-embed-dim 256
    --encoder-attention-heads 4 --decoder-attention-heads 4 --share-all-embeddings
    --optimizer adam --adam-betas "(0.9, 0.98)" --lr 5e-3 --lr-scheduler inverse_sqrt --warmup-updates 400
    --dropout 0.1 --weight-decay 1e-4 --max-tokens 2048 --max-epoch 9 --seed "$seed"
    "${pruning[@]}" ${extra[@]+"${extra[@]}"}
    --no-epoch-checkpoints --log-format json
)

train() {
    local started=$SECONDS status=0
    if [ -e "$run/trained" ]; then
        say "train: done before, skipped"
        return
    fi
    say "train: $run"
    fairseq-train "$data/data-bin" --save-dir "$run" --log-file "$run/train.log" "${training[@]}" 2>&1 |
        python "$here/summary.py" --follow "$run/train.out" || status=$?
    if [ "$status" -ne 0 ]; then
        [ "$status" -ne 2 ] || { grep -v ' | ' "$run/train.out" | tail -n 1 >&2; exit 2; }   # wrong use, told in one line
        fail "training failed: $(tail -n 1 "$run/train.out") (all of it: $run/train.out)"
    fi
    touch "$run/trained"
    say "train: $((SECONDS - started)) s"
}

decode() {
    fairseq-generate "$data/data-bin" --user-dir "$project/dsp_fairseq" --path "$run/checkpoint_last.pt" \
        --gen-subset test --beam 5 --batch-size 32 --remove-bpe >"$1"
}

# hypotheses in the order of the test set, against its tokenised, lower-cased text
score() {
    grep '^H-' "$run/generate.txt" | sort -V | cut -f3 >"$run/test.hyp"
    sacrebleu --tokenize none --force -f text "$data/tok/test_2016_flickr.en" <"$run/test.hyp" >"$1"
}

activate python fairseq-train fairseq-generate sacrebleu
lock "$run"
# a run folder belongs to one command: other flags must not continue, or pass for, what is there
command=$(printf '%q ' "${training[@]}")
if [ -e "$run/checkpoint_last.pt" ]; then
    [ "$(cat "$run/flags")" = "$command" ] ||
        misuse "$run was trained with other flags (see $run/flags): give this run another --name, or remove that folder"
else
    rm -f "$run/train.log" "$run/train.out"
    printf '%s\n' "$command" >"$run/flags.partial"
    mv "$run/flags.partial" "$run/flags"
fi

train
out=$run                                             # where stage keeps its logs
stage decode decode "$run/generate.txt"
stage score score "$run/sacrebleu.txt"
tail -n 1 "$run/generate.txt"
cat "$run/sacrebleu.txt"
python "$here/summary.py" --header "$run"
