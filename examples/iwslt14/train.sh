#!/usr/bin/env bash
# IWSLT 2014, made by scripts/prepare-iwslt14.sh: train, prune, decode, score, export, time.
#
# The setting is that of the published code of "Differentiable Subset Pruning of Transformer Heads"
# (github.com/rycolab/differentiable-subset-pruning, README, "Enc-Dec on IWSLT"), which is fairseq's own for this data
# (examples/translation/README.md) with 60 epochs. --lr and --warmup-updates of --tune are ours.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../common.sh"
source "$here/../recipe.sh"

data_default=data/iwslt14 corpora=iwslt14 prepare_scripts=scripts/prepare-iwslt14.sh
default_settings="corpus=iwslt14 source=de target=en units=bpe lower-case=yes"
prefix="" half=no
model=(--arch gated_transformer_iwslt_de_en --share-decoder-input-output-embed)
optimiser=(
    --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 0.0 --lr 5e-4 --lr-scheduler inverse_sqrt
    --warmup-updates 4000 --dropout 0.3 --weight-decay 0.0001
)
length=(--max-epoch 60 --no-epoch-checkpoints)
validation=(
    --eval-bleu --eval-bleu-args '{"beam": 5, "max_len_a": 1.2, "max_len_b": 10}' --eval-bleu-detok moses
    --eval-bleu-remove-bpe --best-checkpoint-metric bleu --maximize-best-checkpoint-metric
)
tuning=(--lr 1e-4 --warmup-updates 1000) whole_epochs=(--no-epoch-checkpoints)
update_tokens=4096 gpu_tokens=4096 average=0 average_of=""
decoding=(--beam 5 --batch-size 128)

usage() {
    cat <<EOF
usage: train.sh K|all [options] [-- FLAGS OF fairseq-train]
$(common_usage)
EOF
}

own_option() { return 1; }

recipe "$@"
