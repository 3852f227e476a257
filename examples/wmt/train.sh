#!/usr/bin/env bash
# WMT 2014 or 2016, made by scripts/prepare-wmt14en2de.sh or prepare-wmt16ende.sh: train, prune, decode, score, export,
# time.
#
# base: "Attention Is All You Need" (Vaswani et al. 2017): 100,000 updates of about 25,000 tokens, dropout 0.1, mean of
#   the last 5 checkpoints; 7e-4 is the peak of its learning rate. 28,672 = 8 GPUs x 3,584 tokens is how "Scaling
#   Neural Machine Translation" (Ott et al. 2018) fills such batches. A checkpoint every 2,000 updates is ours.
# --big: fairseq's examples/scaling_nmt/README.md with its big batches, 128 x 3,584 tokens at 1e-3, and the mean of the
#   last 10 epochs. 18,750 updates are ours: as many tokens as the 300,000 smaller updates of Vaswani's big model.
# Both: beam 4, length penalty 0.6 (both papers), fp16. --lr and --warmup-updates of --tune are ours.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../common.sh"
source "$here/../recipe.sh"

data_default=data/wmt16ende corpora="google wmt16 wmt14"
prepare_scripts="scripts/prepare-wmt16ende.sh or prepare-wmt14en2de.sh"
default_settings="corpus=google source=en target=de units=bpe"
half=yes gpu_tokens=3584 validation=() whole_epochs=(--no-epoch-checkpoints)
decoding=(--beam 4 --lenpen 0.6 --batch-size 128)
optimiser=(
    --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 0.0 --lr-scheduler inverse_sqrt
    --warmup-updates 4000 --warmup-init-lr 1e-07 --weight-decay 0.0
)

base() {
    prefix=""
    model=(--arch gated_transformer_wmt_en_de --share-all-embeddings --dropout 0.1 --lr 7e-4)
    length=(--max-update 100000 --save-interval-updates 2000 --keep-interval-updates 5 --no-epoch-checkpoints)
    average=5 average_of="_*_*"
    tuning=(--lr 1.4e-4 --warmup-updates 1000)
    update_tokens=28672
}

big() {
    prefix=big-
    model=(--arch gated_transformer_vaswani_wmt_en_de_big --share-all-embeddings --dropout 0.3 --lr 1e-3)
    length=(--max-update 18750 --keep-last-epochs 10)
    average=10 average_of="[0-9]*"
    tuning=(--lr 2e-4 --warmup-updates 1000)
    update_tokens=458752
}

usage() {
    cat <<EOF
usage: train.sh K|all [options] [-- FLAGS OF fairseq-train]
  --big           the big model (288 heads) instead of base (144 heads)
  --reference F   untokenised references; for Google's data, which hold none (default: sacreBLEU downloads them)
$(common_usage)
EOF
}

own_option() {
    case $1 in
        --big) big; used=1 ;;
        --reference) reference=$(value_of "$@"); used=2
            [ -e "$reference" ] || misuse "--reference $reference: no such file" ;;
        *) return 1 ;;
    esac
}

base
recipe "$@"
