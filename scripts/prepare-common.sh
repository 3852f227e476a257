# Sourced by prepare-*.sh: options, archives, and the stages from raw text to what fairseq-train reads.
# A script sets `here` before it sources this file, and what differs between the corpora before `prepare_options`.

source "$here/../examples/common.sh"                 # say, fail, misuse, value_of, lock, activate, stage

export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} PREPARE_SCRIPT=$script
[ ! -t 2 ] || { exec 3>&2; export PREPARE_TERMINAL=3; }              # progress bars; a stage's stderr is its log

# a script may change these before it calls `prepare_options`
out="" force=no source_language="" target_language="" merges="" units=bpe
jobs=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc 2>/dev/null || echo 1)    # nproc would obey them
tokenise_options=() clean_before=no clean_options=() every="" dictionary_options=()

common_usage() {
    cat <<EOF
  --source XX       language to translate from (default: $source_language)
  --target XX       language to translate into (default: $target_language)
  --subwords N      merges of the joint BPE, or pieces of SentencePiece (default: $merges)
  --sentencepiece   SentencePiece on untokenised text instead of Moses tokens and BPE
  --jobs N          processes (default: all cores, $jobs here)
  --out DIR         where everything goes (default: $out); the result is DIR/data-bin
  --force           make everything again; without it finished stages are skipped and nothing is overwritten
  --help            this text
environment:
  DSP_VENV          virtual environment to use (default: dsp-fairseq on PATH, else scripts/setup.sh makes .venv)
  CORPUS_MIRROR     address of a folder that has the archives under their usual names (default: the official ones)
EOF
}

# prepare_options ARGUMENTS...: the common flags; any other goes to the script's own `own_option FLAG`, which fails
# for a flag that it does not know
prepare_options() {
    local help
    help=$(usage)                                    # now, while the variables hold the defaults
    while [ $# -gt 0 ]; do
        case $1 in
            --source) source_language=$(value_of "$@"); shift 2 ;;
            --target) target_language=$(value_of "$@"); shift 2 ;;
            --subwords) merges=$(value_of "$@"); shift 2 ;;
            --jobs) jobs=$(value_of "$@"); shift 2 ;;
            --out) out=$(value_of "$@"); shift 2 ;;
            --sentencepiece) units=sentencepiece; shift ;;
            --force) force=yes; shift ;;
            -h|--help) say "$help"; exit ;;
            *) own_option "$1" || misuse "unknown option $1; see $script --help"; shift ;;
        esac
    done
    [[ $merges =~ ^[1-9][0-9]*$ ]] || misuse "--subwords $merges: a whole number from 1 up is needed"
    [[ $jobs =~ ^[1-9][0-9]*$ ]] || misuse "--jobs $jobs: a whole number from 1 up is needed"
    local language
    for language in "$source_language" "$target_language"; do
        [[ $language =~ ^[a-z]{2}$ ]] || misuse "'$language' is no language: two small letters are, as in --source de"
    done
    [ "$source_language" != "$target_language" ] || misuse "--source and --target are both $source_language"
    [ "$source_language" = en ] || [ "$target_language" = en ] ||
        misuse "--source $source_language --target $target_language: one of the two must be en"
}

# known_languages XX...: refuses a pair that the release does not have, before anything is downloaded
known_languages() {
    local other=$source_language
    [ "$other" != en ] || other=$target_language
    [[ " $* " == *" $other "* ]] ||
        misuse "--source $source_language --target $target_language: this release pairs English with $*"
}

corpus() { python -m "corpus.$1" "${@:2}"; }

results="data-bin subwords codes split tok raw"

# same_settings SETTINGS: refuses a folder with results of other flags (--force replaces them), or of something else
same_settings() {
    local before result found=no
    for result in $results; do [ ! -e "$out/$result" ] || found=yes; done
    [ "$found" = yes ] || return 0
    [ -e "$out/settings" ] ||
        misuse "$out holds results of something else (no file 'settings'): choose another folder with --out"
    before=$(cat "$out/settings")
    [ "$before" = "$1" ] || [ "$force" = yes ] || misuse \
        "$out was made with other settings ($before; now $1): choose another folder with --out, or --force"
}

note_settings() {
    printf '%s\n' "$1" >"$out/settings.partial" && mv "$out/settings.partial" "$out/settings" ||
        misuse "cannot write $out/settings: disk full?"
}

# get_archive NAME COPY: adds the path of an archive to `archives`; it is downloaded if the user has no COPY
get_archive() {
    local archive=$1 copy=$2                         # not `name`: in `fetch` that would be the one of `stage`
    if [ -n "$copy" ]; then
        corpus download "$archive" "$copy" --local || exit 2
        archives+=("$copy")
        return
    fi
    mkdir -p "$out/orig"
    fetch() { corpus download "$archive" "$1" --keep "$out/orig/$archive.part"; }
    stage "download-$archive" fetch "$out/orig/$archive"
    archives+=("$out/orig/$archive")
}

# get_wmt NAME...: archives of WMT; the user's copies if WMT_ORIG names a folder
get_wmt() {
    local name
    [ -z "${WMT_ORIG:-}" ] || [ -d "$WMT_ORIG" ] ||
        misuse "WMT_ORIG=$WMT_ORIG is not a folder: name the one with the archives, or unset it"
    for name in "$@"; do get_archive "$name" "${WMT_ORIG:+$WMT_ORIG/$name}"; done
}

extract_raw() { corpus raw "$corpus_name" "$source_language" "$target_language" "$1" "${archives[@]}"; }

# tok/train.* and so on from raw/
tokenise() {
    local options=("${tokenise_options[@]}")
    [ "$units" = bpe ] || options+=(--no-tokens)
    mkdir "$1"
    corpus tokenise "$1" "$out"/raw/*.?? --jobs "$jobs" "${options[@]}"
}

# split/: train, valid and test as they are cut into subwords
split() {
    local language train=$out/tok/train
    mkdir "$1"
    if [ "$clean_before" = yes ]; then
        corpus clean "$train" "$1/cleaned" "$source_language" "$target_language" "${clean_options[@]}"
        train=$1/cleaned
    fi
    if [ -n "$every" ]; then
        corpus split "$train" "$1" "$source_language" "$target_language" --every "$every"
        rm -f "$1"/cleaned.*
    fi
    for language in "$source_language" "$target_language"; do
        cp "$out/tok/test.$language" "$1/"
        if [ -z "$every" ]; then
            if [ "$clean_before" = yes ]; then mv "$train.$language" "$1/train.$language"
            else cp "$train.$language" "$1/"; fi
            cp "$out/tok/valid.$language" "$1/"
        fi
    done
}

learn_units() {
    corpus subwords learn "$units" "$1" "$out/split/train.$source_language" "$out/split/train.$target_language" \
        --size "$merges" --jobs "$jobs"
}

apply_units() {
    local name language file
    mkdir "$1"
    for name in train valid test; do
        for language in "$source_language" "$target_language"; do
            corpus subwords apply "$units" "$out/codes" "$out/split/$name.$language" "$1/$name.$language" --jobs "$jobs"
        done
        if [ "$clean_before" = no ] && [ "$name" != test ]; then
            corpus clean "$1/$name" "$1/cleaned" "$source_language" "$target_language" "${clean_options[@]}"
            for language in "$source_language" "$target_language"; do
                mv "$1/cleaned.$language" "$1/$name.$language"
            done
        fi
    done
}

binarise() {
    fairseq-preprocess --source-lang "$source_language" --target-lang "$target_language" --joined-dictionary \
        --trainpref "$text/train" --validpref "$text/valid" --testpref "$text/test" \
        --destdir "$1" --workers "$jobs" "${dictionary_options[@]}"
}

# stage_with_rate NAME FUNCTION OUTPUT: `stage`, and the lines with the throughput from its log if it ran now
stage_with_rate() {
    local there=no
    [ ! -e "$3" ] || there=yes
    stage "$@"
    [ "$there" = yes ] || grep -h ' lines/s ' "$out/logs/$1.log" 2>/dev/null | sed 's/^/  /' || true
}

# begin SETTINGS: prepares the environment and the folder, before anything is fetched
begin() {
    activate python fairseq-preprocess
    lock "$out"
    out=$(cd "$out" && pwd)
    settings="corpus=$corpus_name source=$source_language target=$target_language units=$units subwords=$merges $1"
    same_settings "$settings"
    archives=()
}

# make_raw GET ARGUMENTS...: `GET ARGUMENTS...` fills `archives`; old results are removed when the new text is complete
make_raw() {
    if [ "$force" = yes ]; then
        rm -rf "$out/raw.new"
        "$@"
        stage raw extract_raw "$out/raw.new"
        for result in $results; do rm -rf "${out:?}/$result"; done
        note_settings "$settings"
        mv "$out/raw.new" "$out/raw"
    elif [ -e "$out/raw" ]; then
        stage raw extract_raw "$out/raw"             # says that it was done before
    else
        "$@"
        note_settings "$settings"
        stage raw extract_raw "$out/raw"
    fi
}

# make_data: the stages after raw/; `finish` binarises the folder `text`
make_data() {
    stage_with_rate tokenise tokenise "$out/tok"
    stage split split "$out/split"
    stage "learn-$units" learn_units "$out/codes"
    stage_with_rate "apply-$units" apply_units "$out/subwords"
    text=$out/subwords
    finish
}

finish() {
    stage binarise binarise "$out/data-bin"
    local pairs types
    # fairseq adds four special symbols and pads the dictionary to a multiple of eight
    pairs=$(wc -l <"$text/train.$source_language")
    types=$(($(wc -l <"$out/data-bin/dict.$source_language.txt") + 4))
    say "$pairs training pairs, $(wc -l <"$text/valid.$source_language") for validation," \
        "$(wc -l <"$text/test.$source_language") for test, $types types: $out/data-bin"
}
