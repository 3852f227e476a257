# Sourced by iwslt14/train.sh and wmt/train.sh: from prepared data to a pruned, scored, exported and timed model.
# What fairseq and dsp-fairseq are told stands in recipe-commands.sh, how processes are started in launch.sh.
# A preset sets these before it calls `recipe`:
#   prepare_scripts, data_default     what makes the data, and where
#   corpora, default_settings         those that fit; the prepare script's notes when it gets no flags
#   prefix                of the names of runs
#   model, optimiser      flags of every training
#   length, validation    flags of a training from the beginning
#   tuning                flags of a training that goes on from a trained model, instead of the optimiser's
#   whole_epochs          which checkpoints a training of a few epochs keeps
#   half                  yes: fp16 on GPUs
#   update_tokens         tokens of an update, over all GPUs; gpu_tokens: of these, at most so many on a GPU at a time
#   average, average_of   the mean of so many last checkpoints is decoded, of those with such names; 0: the best one
#   decoding              flags of fairseq-generate

source "$project/examples/launch.sh"
source "$project/examples/recipe-commands.sh"

common_usage() {
    cat <<EOF
  K               heads of the whole model to keep; all: the unpruned model
  --method M      dsp (default), dsp-published, ste or uniform; or l0: encoder heads of the trained, unpruned model are
                  priced while the encoder trains on (--tune E) and the decoder stays (-- --l0-penalty X)
  --pipelined     choose heads of the trained, unpruned model (made by 'train.sh all'), weights as they are
  --tune E        then take the other heads out and train what is left on for E epochs
  --gpus N        of this machine (default: 1)
  --nodes N       machines, each with --gpus; the same command on every one, with its own --node-rank
  --node-rank R   0 to N - 1 (default: SLURM_NODEID, or 0); machine 0 does everything but the training alone
  --master H:P    where machine 0 is reached, and a free port there
  --max-tokens M  on one GPU at a time (default: $gpu_tokens); an update keeps its $update_tokens tokens
  --no-bench      leave out the speed of decoding, minutes on one core
  --cpu           without a GPU, to try it out; --gpus then counts processes
  --seed N        default 1
  --out DIR       the folder given to the prepare script (default: $data_default)
  --name NAME     folder of this run under DIR/runs (default: from method, K and seed)
  --dry-run       print the commands of all stages, and do nothing
What is finished is skipped; an interrupted training goes on from its last checkpoint when called again.
environment:
  DSP_VENV        virtual environment to use (default: dsp-fairseq on PATH, else scripts/setup.sh makes .venv)
EOF
}

# recipe ARGUMENTS...: all of it. The preset's `own_option FLAG [VALUE]` takes further options: it sets `used` to the
# number of words, or fails
recipe() {
    out=$data_default keep="" method=dsp seed=1 name="" tune="" pipelined=no bench=yes dry_run=no reference="" extra=()
    cpu=no gpus=1 nodes=1 node_rank=${SLURM_NODEID:-0} master=""
    parse "$@"
    check_options
    plan_updates
    read_settings
    if [ "$dry_run" = no ]; then
        activate python fairseq-train fairseq-generate dsp-fairseq sacremoses sacrebleu torchrun
        fairseq_train=$(command -v fairseq-train)
    fi
    case $method in l0) start=trained ;; *) start=random; [ "$pipelined" = no ] || start=trained ;; esac
    base=$prefix$method$([ "$pipelined" = no ] || printf %s -pipelined)-$keep-seed$seed
    [ "$keep" != all ] || base=${prefix}all-seed$seed
    say "# at most $tokens_told"
    choose_heads "${name:-$base}"
    if [ -n "$tune" ] && [ "$method" != l0 ]; then
        tune_weights "${name:-$base}-tuned$tune"
    fi
    [ "$node_rank" = 0 ] || return 0                 # the others have lent their GPUs
    deploy
}

parse() {
    local help used
    help=$(usage)                                    # now, while the variables hold the defaults
    while [ $# -gt 0 ]; do
        case $1 in
            --method) method=$(value_of "$@"); shift 2 ;;
            --tune) tune=$(value_of "$@"); shift 2 ;;
            --gpus) gpus=$(value_of "$@"); shift 2 ;;
            --nodes) nodes=$(value_of "$@"); shift 2 ;;
            --node-rank) node_rank=$(value_of "$@"); shift 2 ;;
            --master) master=$(value_of "$@"); shift 2 ;;
            --max-tokens) gpu_tokens=$(value_of "$@"); shift 2 ;;
            --seed) seed=$(value_of "$@"); shift 2 ;;
            --out) out=$(value_of "$@"); shift 2 ;;
            --name) name=$(value_of "$@"); shift 2 ;;
            --pipelined) pipelined=yes; shift ;;
            --cpu) cpu=yes; shift ;;
            --no-bench) bench=no; shift ;;
            --dry-run) dry_run=yes; shift ;;
            --) shift; extra=("$@"); break ;;
            -h|--help) say "$help"; exit ;;
            -*) own_option "$@" || misuse "unknown option $1; see $script --help; flags of fairseq-train come after --"
                shift "$used" ;;
            *) [ -z "$keep" ] || misuse "one K is needed, not two ($keep and $1)"; keep=$1; shift ;;
        esac
    done
}

check_options() {
    [ -n "$keep" ] || misuse "the number of heads to keep is missing: say K, or all for the unpruned model"
    [[ $keep =~ ^([0-9]+|all)$ ]] || misuse "K is $keep: must be a number of heads, or all for the unpruned model"
    local methods  # that the code registers and that count heads; none is K = all here
    methods=$(sed -n 's/^@register_method("\(.*\)")$/\1/p' "$project"/dsp_fairseq/gates/methods/*.py | grep -vxE "none|movement")
    grep -qxF -e "$method" <<< "$methods" || misuse "--method $method: must be one of ${methods//$'\n'/, }"
    [[ $tune =~ ^([1-9][0-9]*)?$ ]] || misuse "--tune $tune: must be a number of epochs, 1 or more"
    [ "$keep" != all ] || [ "$method$pipelined$tune" = dspno ] ||
        misuse "all prunes nothing: --method, --pipelined and --tune go with a number of heads"
    [ "$pipelined" = no ] || [[ ! $method =~ ^(uniform|l0)$ ]] ||
        misuse "--pipelined --method $method: uniform learns no choice, and l0 has --tune: take another method"
    [ "$method" != l0 ] || [ -n "$tune" ] || misuse "--method l0 needs --tune E: the epochs that the encoder trains on"
    [ -z "$tune" ] || [ "$pipelined" = yes ] || [ "$method" = l0 ] ||
        misuse "--tune $tune: goes with --pipelined or --method l0; all others end with their final heads anyway"
    check_seed_and_name
    check_processes
}

# read_settings: what the prepare script noted about its result. A dry run needs no data
read_settings() {
    local settings=$out/settings prepare
    prepare="run $prepare_scripts --out $out first"
    if [ -e "$out/data-bin" ] && [ -e "$settings" ]; then
        data=$(cd "$out" && pwd)
        settings=$(cat "$settings")
    elif [ "$dry_run" = yes ]; then
        say "# $out/data-bin is not there yet ($prepare); as it would be made without further flags:"
        data=$out settings=$default_settings
    else
        misuse "$out/data-bin does not exist: $prepare"
    fi
    setting_of() { sed -n "s/.*\<$1=\([^ ]*\).*/\1/p" <<<"$settings"; }
    corpus=$(setting_of corpus) units=$(setting_of units) lower_case=$(setting_of lower-case)
    source_language=$(setting_of source) target_language=$(setting_of target)
    [ "$units" = bpe ] || [ ${#validation[@]} -eq 0 ] ||
        validation+=(--eval-bleu-detok space --eval-bleu-remove-bpe sentencepiece)
    [[ " $corpora " == *" $corpus "* ]] || misuse "$out holds the corpus ${corpus:-?}: this script is for $corpora"
}

# choose_heads NAME: the training, from random weights or from the unpruned model
choose_heads() {
    local flags=("${model[@]}" "${optimiser[@]}")
    if [ "$start" = trained ]; then
        trained=$data/runs/${prefix}all-seed$seed
        [ "$dry_run" = yes ] || [ -e "$trained/model.pt" ] ||
            misuse "$trained is not there or not finished:" \
                "run $script all${prefix:+ --${prefix%-}} --seed $seed --out $out first"
        trained=$trained/$([ "$average" = 0 ] && printf checkpoint_last.pt || printf averaged.pt)
    fi
    case $start-$method in
        trained-l0) flags+=("${tuning[@]}" --max-epoch "$tune" "${whole_epochs[@]}") ;;
        trained-*) flags+=(--max-epoch 1 "${whole_epochs[@]}") ;;
        *) flags+=("${length[@]}" "${validation[@]}") ;;
    esac
    pruning_flags
    train "$1" "${flags[@]}" "${pruning[@]}"
}

# tune_weights NAME: what is left of the run before trains on
tune_weights() {
    local chosen=$run
    [ "$node_rank" != 0 ] || small_model "$chosen/checkpoint_last.pt"
    pruning=(--finetune-from-model "$chosen/model.pt" --pruning-method none)
    train "$1" "${model[@]}" "${optimiser[@]}" "${tuning[@]}" --max-epoch "$tune" "${whole_epochs[@]}" "${pruning[@]}"
}

# train NAME FLAG...: sets `run`. Other machines than the first write nothing
train() {
    local flags=("${@:2}" --seed "$seed" ${extra[@]+"${extra[@]}"})
    run=$data/runs/$1
    training_command "${flags[@]}"
    if [ "$dry_run" = yes ]; then
        say "# train" && quoted "${command[@]}"
    elif [ "$node_rank" != 0 ]; then
        [ -e "$run/trained" ] || "${command[@]}"
    else
        claim_run "$1" "${flags[@]}"
        run_training "${command[@]}"
    fi
}

# step NAME OUTPUT FUNCTION: `FUNCTION OUTPUT` prints the commands that make OUTPUT; they are carried out, or shown
step() {
    local out=$run                                   # where stage keeps its logs
    if [ "$dry_run" = yes ]; then
        say "# $1" && "$3" "$2"
    else
        commands_of=$3
        stage "$1" carry_out "$2"
    fi
}
carry_out() { eval "$("$commands_of" "$1")"; }

# small_model CHECKPOINT: model.pt in `run`, without the heads that are not kept and without the optimiser's state
small_model() {
    checkpoint=$1
    step prune "$run/model.pt" prune_commands
}

# deploy: all that comes after training
deploy() {
    if [ "$start" = random ] && [ "$average" != 0 ]; then
        step average "$run/averaged.pt" average_commands
        small_model "$run/averaged.pt"
    elif [ "$start" = random ]; then
        small_model "$run/checkpoint_best.pt"
    else
        small_model "$run/checkpoint_last.pt"
    fi
    step decode "$run/generate.txt" decode_commands
    step texts "$run/texts" text_commands
    local scores="detokenised" score
    [ "$units" = sentencepiece ] || scores+=" tokenised"
    ! has_compounds || scores+=" compounds"
    for score in $scores; do step "bleu-$score" "$run/bleu-$score.txt" "${score}_commands"; done
    if [ "$dry_run" = yes ] || python -c 'import ctranslate2' 2>/dev/null; then
        step export "$run/ctranslate2" export_commands
    else
        say "export: skipped, CTranslate2 is not installed: pip install ctranslate2"
    fi
    [ "$bench" = no ] || step bench "$run/bench.txt" bench_commands
    [ "$dry_run" = yes ] || tell $scores
}

tell() {
    local score
    say ""
    [ "$bench" = no ] || cat "$run/bench.txt"
    python "$project/examples/multi30k/summary.py" --header "$run"
    for score in "$@"; do say "BLEU, $score: $(cat "$run/bleu-$score.txt")"; done
    say "done: $run/model.pt$([ ! -e "$run/ctranslate2" ] || printf ' and %s' "$run/ctranslate2")"
}
