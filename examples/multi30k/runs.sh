# Sourced by train.sh and prune.sh: the setting of the published figures, and what every run goes through.
# They set `out` (the folder given to prepare.sh), `seed`, `tune`, and then `run` (the folder of the run).

source "$here/../common.sh"

# what all trainings share: model, batches, optimiser
setting() {
    setting=(
        --user-dir "$project/dsp_fairseq" --task translation_pruning
        --criterion dsp_label_smoothed_cross_entropy --label-smoothing 0.1
        --arch gated_transformer_iwslt_de_en --encoder-layers 3 --decoder-layers 3
        --encoder-embed-dim 128 --decoder-embed-dim 128 --encoder-ffn-embed-dim 256 --decoder-ffn-embed-dim 256
        --encoder-attention-heads 4 --decoder-attention-heads 4 --share-all-embeddings
        --optimizer adam --adam-betas "(0.9, 0.98)" --lr 5e-3 --lr-scheduler inverse_sqrt --warmup-updates 400
        --dropout 0.1 --weight-decay 1e-4 --max-tokens 2048 --max-epoch 9 --seed "$seed"
    )
}

check_number_of_heads() {
    [ -n "$keep" ] || misuse "the number of heads to keep is missing: say K${1:-}"
    [[ $keep =~ ^([0-9]+${2:-})$ ]] || misuse "K is $keep: must be a number of heads${1:-}"
}

check_common_options() {
    check_seed_and_name
    [[ $tune =~ ^([1-9][0-9]*)?$ ]] || misuse "--tune $tune: must be a number of epochs, 1 or more"
}

# check_extra_flags DEFAULT-NAME: results.py takes a run for what its name says
check_extra_flags() {
    [ ${#extra[@]} -eq 0 ] || [ -n "$name" ] || misuse "flags after --: they make another run than $1; say --name"
}

# use_data: sets `data`
use_data() {
    [ -e "$out/data-bin" ] || misuse "$out/data-bin does not exist: run prepare.sh --out $out first"
    data=$(cd "$out" && pwd)
}

# train FLAG...: an interrupted training goes on from its last epoch
train() { run_training fairseq-train "$data/data-bin" --save-dir "$run" --log-file "$run/train.log" "$@"; }

# learn FLAG...: fairseq-train with those of `setting`
learn() { train "${setting[@]}" "$@" --no-epoch-checkpoints --log-format json; }

# `run` trains on for `tune` epochs without the heads that were not chosen, as a run of its own: a step of a fifth of
# the first training's, for the weights have converged
tune() {
    local chosen=$run/checkpoint_last.pt small=$run/small.pt
    [ -e "$small" ] || dsp-fairseq prune "$chosen" "$small"
    claim_run "$(basename "$run")-tuned$tune" tune "$small" "$tune"
    learn --finetune-from-model "$small" --pruning-method none --lr 1e-3 --warmup-updates 100 --max-epoch "$tune"
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

# decode, score, and one row of the table
evaluate() {
    local out=$run                                   # where stage keeps its logs
    stage decode decode "$run/generate.txt"
    stage score score "$run/sacrebleu.txt"
    tail -n 1 "$run/generate.txt"
    cat "$run/sacrebleu.txt"
    python "$here/summary.py" --header "$run"
}
