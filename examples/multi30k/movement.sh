#!/usr/bin/env bash
# Prunes the unpruned Multi30k model, which `train.sh all` makes, by movement; see movement.sh --help.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../common.sh"
source "$here/../movement.sh"

out=$here/work unpruned=runs/unpruned-seed%s/checkpoint_last.pt make_unpruned="train.sh all" epochs=9
model=(
    --arch gated_transformer_iwslt_de_en --encoder-layers 3 --decoder-layers 3 --encoder-embed-dim 128
    --decoder-embed-dim 128 --encoder-ffn-embed-dim 256 --decoder-ffn-embed-dim 256 --encoder-attention-heads 4
    --decoder-attention-heads 4 --share-all-embeddings
)
# a fifth of the step of the training of sweep.yaml, as `tune` has it there
optimiser=(
    --optimizer adam --adam-betas "(0.9, 0.98)" --lr 1e-3 --lr-scheduler inverse_sqrt --warmup-updates 100
    --dropout 0.1 --weight-decay 1e-4 --max-tokens 2048
)
decoding=(--beam 5 --batch-size 32 --remove-bpe)

movement_recipe "$@"
