# Sourced by recipe.sh: the commands of the recipes. Functions named *_commands print shell commands that make the file
# or folder $1; what --dry-run shows and what is carried out is the same text.

# quoted WORD...: as a line for the shell, with quotes only where they are needed
quoted() {
    local word line=""
    for word in "$@"; do
        case $word in
            "" | *[!A-Za-z0-9_./:=,@%+-]*) word=${word@Q} ;;
        esac
        line+=" $word"
    done
    say "${line# }"
}

# pruning_flags: sets `pruning`
pruning_flags() {
    pruning=()
    [ "$start" = random ] || pruning+=(--finetune-from-model "$trained")
    [ "$pipelined" = no ] || pruning+=(--pruning-mode pipelined)
    if [ "$keep" = all ]; then
        pruning+=(--pruning-method none)
    else
        pruning+=(--pruning-method "$method" --heads-to-keep "$keep")
    fi
    case $method in
        dsp-published)
            pruning+=(--initial-temperature 0.1 --final-temperature 1e-8 --pruning-lr 0.2 --cooldown-updates)
            if [ "$pipelined" = yes ]; then pruning+=(250); else pruning+=(15000); fi ;;
        l0) pruning+=(--prunable encoder.self --frozen decoder) ;;
    esac
}

# training_command FLAG...: sets `command`
training_command() {
    launcher
    command=(
        "${launch[@]}" "$data/data-bin" --source-lang "$source_language" --target-lang "$target_language"
        --save-dir "$run" --log-file "$run/train.log" --log-format json
        --user-dir "$project/dsp_fairseq" --task translation_pruning
        --criterion dsp_label_smoothed_cross_entropy --label-smoothing 0.1
        "${batch[@]}" "${parallel[@]}" "$@"
    )
}

average_commands() {
    say "printf '%s\\n' $(quoted "$run")/checkpoint$average_of.pt | sort -V | tail -n $average |" \
        "xargs -d '\\n' dsp-fairseq average --out $(quoted "$1")"
}

prune_commands() { quoted dsp-fairseq prune "$checkpoint" "$1"; }

decode_commands() {
    local flags=(--gen-subset test "${decoding[@]}" --remove-bpe)
    [ "$units" = bpe ] || flags+=(sentencepiece)
    [ "$cpu" = no ] || flags+=(--cpu)
    say "$(quoted fairseq-generate "$data/data-bin" --source-lang "$source_language" --target-lang "$target_language" \
        --user-dir "$project/dsp_fairseq" --path "$run/model.pt" "${flags[@]}") >$(quoted "$1")"
}

# Google's data were tokenised without -a and have compounds in one token; it holds no text before tokenisation
from_google() { [ "$corpus" = google ]; }
has_compounds() { [ "$target_language" = de ] && [ "$units" = bpe ] && [[ $corpus =~ ^(google|wmt16)$ ]]; }

# texts/: hypotheses in the order of the test set and references; *.tok as tokens, *.compounds with compounds split
text_commands() {
    local out language=$target_language split="s/([^ ])-([^ ])/\\1 ##AT##-##AT## \\2/g" side
    out=$(quoted "$1")
    say "mkdir $out"
    if [ "$units" = bpe ]; then
        say "grep '^H-' $(quoted "$run/generate.txt") | sort -V | cut -f 3 >$out/hyp.tok"
        say "sacremoses -q -l $language detokenize <$out/hyp.tok >$out/hyp"
        if from_google; then say "sed 's/@@ //g' $(quoted "$data/raw/test.$language") >$out/ref.tok"
        else say "cp $(quoted "$data/split/test.$language") $out/ref.tok"; fi
    else
        say "grep '^H-' $(quoted "$run/generate.txt") | sort -V | cut -f 3 >$out/hyp"
    fi
    if has_compounds; then
        for side in hyp ref; do say "sed -E '$split' $out/$side.tok >$out/$side.compounds"; done
    fi
}

# sacreBLEU's own tokens, on untokenised text; without case where the model never saw any
detokenised_commands() {
    local flags=(-i "$run/texts/hyp" -m bleu -w 2 -f text)
    [ "$lower_case" != yes ] || flags+=(-lc)
    if [ -n "$reference" ]; then flags+=("$reference")
    elif from_google; then flags+=(-t wmt14/full -l "$source_language-$target_language")
    else flags+=("$data/raw/test.$target_language"); fi
    say "$(quoted sacrebleu "${flags[@]}") >$(quoted "$1")"
}

tokens_bleu() {
    say "$(quoted sacrebleu "$run/texts/ref.$1" -i "$run/texts/hyp.$1" --tokenize none --force -m bleu -w 2 -f text)" \
        ">$(quoted "$2")"
}
tokenised_commands() { tokens_bleu tok "$1"; }
compounds_commands() { tokens_bleu compounds "$1"; }

export_commands() {
    quoted dsp-fairseq export ctranslate2 "$run/model.pt" "$1" --quantization int8 --data "$data/data-bin"
}

bench_commands() {
    say "$(quoted dsp-fairseq bench "$run/model.pt" --data "$data/data-bin" --no-memory) >$(quoted "$1")"
}
