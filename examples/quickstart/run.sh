#!/usr/bin/env bash
# The whole job on a small generated corpus: text, BPE, binarised data, three trainings, removal of the pruned heads,
# decoding, BLEU, speed, table.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../common.sh"

usage() {
    cat <<EOF
usage: bash examples/quickstart/run.sh [--out DIR] [--force]
Trains a small German-English Transformer with all 36 attention heads, with 12 and with 4, removes the pruned heads
from the checkpoints, and compares quality, size and speed.
  --out DIR   where everything goes (default: examples/quickstart/work)
  --force     make everything again; without it finished stages are skipped and nothing is overwritten
environment:
  DSP_VENV    virtual environment to use (default: dsp-fairseq on PATH, else scripts/setup.sh makes .venv)
EOF
}

out_and_force "$@"

updates=800
models="all third ninth"
pruning_of() {                                       # the flags in which the three trainings differ
    case $1 in
        all) echo --pruning-method none ;;
        third) echo --pruning-method dsp --heads-to-keep 12 ;;
        ninth) echo --pruning-method dsp --heads-to-keep 4 ;;
    esac
}

corpus() { python "$here/generate.py" "$1" --pairs 20000 --seed 1; }

bpe() {
    local file
    mkdir "$1"
    cat "$out"/corpus/train.{de,en} | subword-nmt learn-bpe -s 1000 >"$1/codes"
    for file in {train,valid,test}.{de,en}; do
        subword-nmt apply-bpe -c "$1/codes" <"$out/corpus/$file" >"$1/$file"
    done
}

preprocess() {
    fairseq-preprocess --source-lang de --target-lang en --joined-dictionary --destdir "$1" \
        --trainpref "$out/bpe/train" --validpref "$out/bpe/valid" --testpref "$out/bpe/test"
}

# train NAME: becomes the training itself, so that its process can be stopped
train() {
    # shellcheck disable=SC2046  # the flags of pruning_of are words
    exec fairseq-train "$out/data-bin" --user-dir "$project/dsp_fairseq" --arch gated_transformer_tiny \
        --task translation_pruning --criterion dsp_label_smoothed_cross_entropy --label-smoothing 0.1 \
        $(pruning_of "$1") --share-all-embeddings --dropout 0 --optimizer adam --adam-betas "(0.9, 0.98)" \
        --lr 4e-3 --lr-scheduler inverse_sqrt --warmup-updates 200 --max-tokens 2048 --max-update "$updates" \
        --save-dir "$out/models/$1.partial" --no-epoch-checkpoints --no-save-optimizer-state --seed 1 \
        --cpu --num-workers 0 --log-format json --log-interval 20
}

remove() { dsp-fairseq prune "$out/models/$model/checkpoint_last.pt" "$1"; }

# decode_with CHECKPOINT FOLDER
decode_with() {
    mkdir "$2"
    fairseq-generate "$out/data-bin" --user-dir "$project/dsp_fairseq" --cpu --beam 5 --remove-bpe --path "$1" \
        >"$2/generate.txt"
    grep ^H- "$2/generate.txt" | sort -V | cut -f 3 >"$2/hypotheses.en"
}

decode() { decode_with "$out/models/$model/checkpoint_last.pt" "$1"; }

# the pruned checkpoint must translate as the one it was made from
decode_removed() {
    decode_with "$out/removed/$model.pt" "$1"
    cmp "$1/hypotheses.en" "$out/decoded/$model/hypotheses.en"
}

speed() {
    local checkpoints=() model
    for model in $models; do checkpoints+=("$out/models/$model/checkpoint_last.pt"); done
    dsp-fairseq bench "${checkpoints[@]}" --with stock masked removed --no-memory --sentences 32 --rounds 3 \
        --json "$1"
}

bleu() { sacrebleu "$out/corpus/test.en" -i "$out/decoded/$model/hypotheses.en" -m bleu -w 2 >"$1"; }

elapsed() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }
step() { printf '[%s] ' "$(elapsed)"; stage "$@"; }

# updates, heads and loss, as the log of a training has them last
state_of() {
    local seen
    seen=$(sed -n 's/.*"loss": "\([^"]*\)".*"heads_kept": "\([^"]*\)".*"num_updates": "\([^"]*\)".*/\3 \2 \1/p' \
        "$out/logs/train-$1.log" | tail -n 1)
    printf '%s' "${seen:-0 36 -}"
}

# one line that renews itself on a terminal; elsewhere a line now and then
show_progress() {
    local model line="" losses="" update heads loss
    for model in $models; do
        [ -n "${pid_of[$model]:-}" ] || continue
        read -r update heads loss <<<"$(state_of "$model")"
        line+="$model $update/$updates $heads heads | "
        losses+=" $loss"
    done
    line="[$(elapsed)] ${line}loss$losses"
    if [ -t 1 ]; then
        printf '\r\033[K%.*s' "$(($(tput cols 2>/dev/null || echo 80) - 1))" "$line"
    elif [ $((SECONDS - shown)) -ge 20 ]; then
        say "$line"
        shown=$SECONDS
    fi
}

declare -A pid_of=()                                 # trainings that run, by model
stop_trainings() { [ ${#pid_of[@]} -eq 0 ] || kill "${pid_of[@]}" 2>/dev/null || true; }
trap stop_trainings EXIT
trap 'echo; exit 130' INT
trap 'exit 143' TERM

# all at once: each uses one core at most, and two cores stay busy to the end
train_all() {
    local model shown=$SECONDS
    for model in $models; do
        if [ -e "$out/models/$model" ]; then
            say "[$(elapsed)] train $model: done before, skipped"
            continue
        fi
        rm -rf "$out/models/$model.partial"
        train "$model" >"$out/logs/train-$model.log" 2>&1 &
        pid_of[$model]=$!
        say "[$(elapsed)] train $model: started, log in $out/logs/train-$model.log"
    done
    while [ ${#pid_of[@]} -gt 0 ]; do
        sleep 1
        show_progress
        for model in "${!pid_of[@]}"; do
            kill -0 "${pid_of[$model]}" 2>/dev/null || finish_training "$model"
        done
    done
}

finish_training() {
    local log=$out/logs/train-$1.log pid=${pid_of[$1]} status=0
    [ ! -t 1 ] || printf '\r\033[K'
    unset "pid_of[$1]"
    wait "$pid" || status=$?
    if [ "$status" -ne 0 ]; then
        say "[$(elapsed)] train $1: failed"
        ! is_full "$log" || disk_full "$log"
        fail "training $1 failed: $(why "$status" "$log") (all of it: $log)"
    fi
    mv "$out/models/$1.partial" "$out/models/$1"
    say "[$(elapsed)] train $1: done"
}

# a folder belongs to one version of this script: what another one made would not be what is described here
version=$(cat "$here/run.sh" "$here/generate.py" | cksum)
if [ -e "$out/.quickstart" ]; then
    [ "$force" = yes ] || [ "$(cat "$out/.quickstart")" = "$version" ] ||
        misuse "--out $out was filled by another version of this script: add --force, or choose another folder"
elif [ -n "$(ls -A "$out" 2>/dev/null)" ]; then
    misuse "--out $out holds something else: choose a new or an empty folder"
fi

activate python subword-nmt fairseq-preprocess fairseq-train fairseq-generate sacrebleu dsp-fairseq
lock "$out"
SECONDS=0                                            # set-up is not counted
out=$(cd "$out" && pwd)
if [ "$force" = yes ]; then
    for result in corpus bpe data-bin models removed decoded decoded-removed bleu speed.json logs; do rm -rf "${out:?}/$result"; done
fi
printf '%s\n' "$version" >"$out/.quickstart"
mkdir -p "$out"/{models,removed,decoded,decoded-removed,bleu,logs}

step corpus corpus "$out/corpus"
say "    $(tail -n 1 "$out/logs/corpus.log")"
say "    first sentence of the test set: $(head -n 1 "$out/corpus/test.de")"
step bpe bpe "$out/bpe"
step preprocess preprocess "$out/data-bin"
train_all
for model in $models; do
    step "decode $model" decode "$out/decoded/$model"
    step "bleu $model" bleu "$out/bleu/$model.json"
    [ "$model" != all ] || continue                  # nothing to remove
    step "remove $model" remove "$out/removed/$model.pt"
    step "decode removed $model" decode_removed "$out/decoded-removed/$model"
done
step speed speed "$out/speed.json"
python "$here/table.py" "$out" $models
say "[$(elapsed)] done; checkpoints: $out/models/*/checkpoint_last.pt, without the pruned heads: $out/removed/*.pt"
