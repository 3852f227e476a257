# Sourced by multi30k/movement.sh and iwslt14/movement.sh: prunes the trained, unpruned model by movement, or by a method
# to compare it with, in as many updates and with the same teacher; then removes, decodes, scores and counts.
# A preset sets these before it calls `movement_recipe`:
#   out, unpruned         the folder of the prepared data; the checkpoint of the unpruned model in it, %s is the seed
#   make_unpruned         the command that makes that model
#   model, optimiser      flags of the training; epochs: how many it has
#   decoding              flags of fairseq-generate

movement_usage() {
    cat <<EOF
usage: movement.sh P [options] [-- FLAGS OF fairseq-train]
  P            with movement the share of the weights of attention and feed-forward blocks that is kept, such as 35%;
               with the other methods --parameters-to-keep, a number or a share: movement.sh prints the number that its
               model has on disk
  --method M   movement (default); dsp: the budget in parameters; importance: gradient importance, then further training
  --epochs E   of the training (default: $epochs)
  --fill E     movement: then fill the zeros that are left, and train on without masks for E epochs
  --seed N     of the training, and of the unpruned model, which $make_unpruned makes (default: 1)
  --out DIR    the folder given to the prepare script (default: $out)
  --name NAME  folder of this run under DIR/runs (default: from method, P and seed)
  --cpu        without a GPU
What is finished is skipped; an interrupted training goes on from its last checkpoint when called again.
EOF
}

movement_recipe() {
    local share="" method=movement fill="" seed=1 name="" device=() extra=()
    while [ $# -gt 0 ]; do
        case $1 in
            --method) method=$(value_of "$@"); shift 2 ;;
            --epochs) epochs=$(value_of "$@"); shift 2 ;;
            --fill) fill=$(value_of "$@"); shift 2 ;;
            --seed) seed=$(value_of "$@"); shift 2 ;;
            --out) out=$(value_of "$@"); shift 2 ;;
            --name) name=$(value_of "$@"); shift 2 ;;
            --cpu) device=(--cpu); shift ;;
            --) shift; extra=("$@"); break ;;
            -h|--help) movement_usage; exit ;;
            -*) misuse "unknown option $1; see $script --help; flags of fairseq-train come after --" ;;
            *) [ -z "$share" ] || misuse "one P is needed, not two ($share and $1)"; share=$1; shift ;;
        esac
    done
    [ -n "$share" ] || misuse "P is missing: say how much is kept, such as 35%"
    [[ $method =~ ^(movement|dsp|importance)$ ]] || misuse "--method $method: must be movement, dsp or importance"
    [[ $epochs =~ ^[1-9][0-9]*$ ]] || misuse "--epochs $epochs: must be a number of epochs, 1 or more"
    [[ $fill =~ ^([1-9][0-9]*)?$ ]] || misuse "--fill $fill: must be a number of epochs, 1 or more"
    [ -z "$fill" ] || [ "$method" = movement ] || misuse "--fill $fill: goes with --method movement only"
    check_seed_and_name
    activate python fairseq-train fairseq-generate dsp-fairseq
    # shellcheck disable=SC2059  # the name has the place of the seed
    unpruned=$out/$(printf "$unpruned" "$seed")
    [ -e "$out/data-bin" ] && [ -e "$unpruned" ] || misuse "$unpruned is not there: run $make_unpruned --seed $seed first"
    data=$(cd "$out" && pwd) unpruned=$(realpath "$unpruned")
    name=${name:-$method-${share%\%}-seed$seed}
    tune_from_unpruned
    small_of "$run/checkpoint_last.pt"
    if [ -n "$fill" ]; then
        local masked=$run
        out=$run stage fill fill_zeros "$run/filled.pt"
        epochs=$fill
        train_on "$name-filled$fill" --finetune-from-model "$masked/filled.pt" --pruning-method none
        small_of "$run/checkpoint_last.pt"
    fi
    out=$run stage decode decode_small "$run/generate.txt"
    summary_of_run
}

tune_from_unpruned() {
    case $method in
        movement) train_on "$name" --finetune-from-model "$unpruned" --pruning-method movement --weights-to-keep "$share" ;;
        dsp) train_on "$name" --finetune-from-model "$unpruned" --pruning-method dsp --parameters-to-keep "$share" ;;
        importance)
            local start=$data/runs/$name.start
            mkdir -p "$start"
            out=$start stage importance rank "$start/chosen.pt"
            out=$start stage prune remove "$start/small.pt"
            train_on "$name" --finetune-from-model "$start/small.pt" --pruning-method none ;;
    esac
}
rank() {
    dsp-fairseq importance "$unpruned" "$data/data-bin" "$1" --parameters-to-keep "$share" --subset train \
        --sentences 1000 --normalise none
}
remove() { dsp-fairseq prune "${1%/*}/chosen.pt" "$1"; }

# train_on NAME FLAG...: sets `run`
train_on() {
    local flags=(
        "${model[@]}" "${optimiser[@]}" --max-epoch "$epochs" --seed "$seed" "${@:2}"
        --teacher "$unpruned" --distillation-weight 0.9 ${device[@]+"${device[@]}"} ${extra[@]+"${extra[@]}"}
    )
    claim_run "$1" "${flags[@]}"
    run_training fairseq-train "$data/data-bin" --user-dir "$project/dsp_fairseq" --task translation_pruning \
        --criterion dsp_label_smoothed_cross_entropy --label-smoothing 0.1 --no-epoch-checkpoints --save-dir "$run" \
        --log-file "$run/train.log" --log-format json "${flags[@]}"
}

small_of() { checkpoint=$1; out=$run stage prune small "$run/model.pt"; }
small() { dsp-fairseq prune "$checkpoint" "$1"; }
fill_zeros() { dsp-fairseq prune "$run/checkpoint_last.pt" "$1" --fill; }
decode_small() {
    fairseq-generate "$data/data-bin" --user-dir "$project/dsp_fairseq" --path "$run/model.pt" "${decoding[@]}" \
        ${device[@]+"${device[@]}"} >"$1"
}

summary_of_run() {
    say ""
    sed '/^\s*$/d' "$run/logs/prune.log" | grep -E '^(heads|hidden|parameters|weights)' || true
    python - "$run" <<'EOF'
import json, sys
from dsp_fairseq.checkpoints.reading import kept_units
from dsp_fairseq.sweep import logs
from dsp_fairseq.sweep.plan import Files

run = sys.argv[1]
inventory, files = kept_units(f"{run}/model.pt").inventory, Files(run)
on_disk = sum(block.units * block.cost for block in inventory.blocks)
print(f"prunable parameters on disk: {on_disk:,} (--parameters-to-keep {on_disk} keeps as many)")
print(f"valid nll: {logs.valid_nll(files)}, BLEU: {logs.printed_bleu4(files.translations)}")
EOF
    say "done: $run/model.pt"
}
