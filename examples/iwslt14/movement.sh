#!/usr/bin/env bash
# Prunes the unpruned IWSLT'14 model, which `train.sh all` makes, by movement; see movement.sh --help.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../common.sh"
source "$here/../movement.sh"

out=data/iwslt14 unpruned=runs/all-seed%s/checkpoint_best.pt make_unpruned="train.sh all" epochs=20
model=(--arch gated_transformer_iwslt_de_en --share-decoder-input-output-embed --source-lang de --target-lang en)
# as --tune of train.sh
optimiser=(
    --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 0.0 --lr 1e-4 --lr-scheduler inverse_sqrt
    --warmup-updates 1000 --dropout 0.3 --weight-decay 0.0001 --max-tokens 4096
)
decoding=(--beam 5 --batch-size 128 --remove-bpe)

movement_recipe "$@"
