#!/usr/bin/env bash
# Trains a language model, pruned or not, on what prepare.sh made.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../common.sh"

usage() {
    cat <<TEXT
usage: train.sh [options] [-- FLAGS OF fairseq-train]
  --model M       all-attention, or transformer of about as many parameters (default: all-attention)
  --shape S       small: 6 layers, width 128, 8 heads, for some megabytes of text on a CPU; wiki103: the published
                  geometry, 16 layers, width 512, for GPUs (default: small)
  --heads K       keep K heads, exactly, chosen by --method (default: all)
  --ffn F         transformer: keep F hidden units too
  --method M      dsp, layerwise-l0, uniform ... (default: dsp)
  --penalty C     layerwise-l0: the price of an open head; with it, --heads is not needed (published: 0.01 to 0.02)
  --from CKPT     start from the weights of a trained model
  --updates N     length of the training (default: 3000 for small, 200000 for wiki103)
  --seed N        (default: 1)
  --out DIR       the folder that prepare.sh filled (default: examples/language_modeling/work)
  --name NAME     of the run (default: made of the options); the model is DIR/runs/NAME/checkpoint_last.pt
  --help          this text
A run that was interrupted goes on when the same command is given again.
TEXT
}

model=all-attention shape=small heads="" ffn="" method=dsp penalty="" start="" updates="" seed=1 out=$here/work name=""
while [ $# -gt 0 ]; do
    case $1 in
        --model) model=$(value_of "$@"); shift 2 ;;
        --shape) shape=$(value_of "$@"); shift 2 ;;
        --heads) heads=$(value_of "$@"); shift 2 ;;
        --ffn) ffn=$(value_of "$@"); shift 2 ;;
        --method) method=$(value_of "$@"); shift 2 ;;
        --penalty) penalty=$(value_of "$@"); shift 2 ;;
        --from) start=$(value_of "$@"); shift 2 ;;
        --updates) updates=$(value_of "$@"); shift 2 ;;
        --seed) seed=$(value_of "$@"); shift 2 ;;
        --out) out=$(value_of "$@"); shift 2 ;;
        --name) name=$(value_of "$@"); shift 2 ;;
        -h|--help) usage; exit ;;
        --) shift; break ;;
        *) misuse "unknown option $1; see $script --help" ;;
    esac
done

criterion=dsp_cross_entropy
case $model-$shape in
    all-attention-small) flags=(--arch all_attention_lm_small) ;;
    transformer-small)                               # a layer has 212,992 weights, one of all-attention 213,248
        flags=(--arch gated_transformer_lm --decoder-normalize-before --decoder-layers 6 --decoder-attention-heads 8
            --decoder-embed-dim 128 --decoder-input-dim 128 --decoder-output-dim 128 --decoder-ffn-embed-dim 576) ;;
    all-attention-wiki103) flags=(--arch all_attention_lm_wiki103) criterion=dsp_adaptive_loss ;;
    transformer-wiki103) flags=(--arch gated_transformer_lm_wiki103) criterion=dsp_adaptive_loss ;;
    *) misuse "--model $model --shape $shape: models are all-attention and transformer, shapes small and wiki103" ;;
esac
if [ "$shape" = small ]; then
    updates=${updates:-3000}
    # dropping attention takes half of the time on a CPU
    flags+=(--share-decoder-input-output-embed --dropout 0.1 --attention-dropout 0 --tokens-per-sample 256
        --max-tokens 2048 --lr 2e-3 --lr-scheduler cosine --warmup-updates 200 --warmup-init-lr 1e-6)
else
    # segments, dropout and price are the published ones (the shape has the first two); the batches and the schedule are
    # ours, and none of it was measured here
    updates=${updates:-200000}
    flags+=(--tokens-per-sample 768 --max-tokens 9216 --ddp-backend legacy_ddp --fp16 --lr 2.5e-4
        --lr-scheduler cosine --warmup-updates 16000 --warmup-init-lr 1e-7 --clip-norm 0.25)
fi
[[ $updates =~ ^[1-9][0-9]*$ ]] || misuse "--updates $updates: must be a whole number from 1 up"
if [ -n "$penalty" ]; then
    # an epoch of warm-up is published; a tenth of the training is about that
    method=layerwise-l0
    flags+=(--l0-penalty "$penalty" --penalty-warmup-updates $((updates / 10 + 1)))
elif [ -z "$heads$ffn" ]; then
    method=none
fi
flags+=(--pruning-method "$method")
[ -z "$heads" ] || flags+=(--heads-to-keep "$heads")
[ -z "$ffn" ] || flags+=(--ffn-to-keep "$ffn")
[ -z "$start" ] || flags+=(--finetune-from-model "$start")
name=${name:-$model-$shape-$method${heads:+-$heads}${ffn:+-ffn-$ffn}${penalty:+-price-$penalty}${start:+-tuned}-seed-$seed}
check_seed_and_name
[ -d "$out/data-bin" ] || misuse "$out/data-bin is missing: run prepare.sh first, or say --out"
activate python fairseq-train

data=$out
words=(fairseq-train "$out/data-bin" --user-dir "$project/dsp_fairseq" --task language_modeling_pruning
    --criterion "$criterion" --optimizer adam --adam-betas "(0.9, 0.98)" --max-update "$updates" --seed "$seed"
    --skip-invalid-size-inputs-valid-test --no-epoch-checkpoints --log-format json --log-interval 50 "${flags[@]}" "$@")
claim_run "$name" "${words[@]}"
run_training "${words[@]}" --save-dir "$run"
say "model: $run/checkpoint_last.pt"
