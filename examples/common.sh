# Sourced by the examples' scripts: where the project lies, one-line errors, stages, runs, the Python environment.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script=$(basename "$0")

export PYTHONUTF8=1                                  # the same text whatever the locale says
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"       # one core a run, as the published figures

# As in dsp-fairseq sweep (dsp_fairseq/sweep/executors.py): training on a CPU keeps the memory of its large tensors.
export MALLOC_MMAP_MAX_="${MALLOC_MMAP_MAX_:-0}"
export MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-8589934592}"

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "$script" "$*" >&2; exit 1; }          # the work failed
misuse() { printf '%s: %s\n' "$script" "$*" >&2; exit 2; }        # wrong use, or something missing
disk_full() { misuse "disk full: make room, or choose another folder with --out, and run the same again (log: $1)"; }

# value_of OPTION REMAINING-ARGUMENTS...: the argument of an option, or exit 2
value_of() {
    [ $# -ge 2 ] && [ -n "$2" ] || misuse "$1 needs a value; see $script --help"
    printf '%s' "$2"
}

# out_and_force ARGUMENTS...: sets `out` and `force` from --out DIR and --force; --help calls the script's `usage`
out_and_force() {
    out=$here/work force=no
    while [ $# -gt 0 ]; do
        case $1 in
            --out) out=$(value_of "$@"); shift 2 ;;
            --force) force=yes; shift ;;
            -h|--help) usage; exit ;;
            *) misuse "unknown option $1: known are --out DIR, --force, --help" ;;
        esac
    done
}

# activate TOOL...: puts the environment on PATH and checks that it has these commands.
# DSP_VENV names a virtual environment; otherwise a dsp-fairseq already on PATH is used; otherwise
# scripts/setup.sh makes .venv in the project.
activate() {
    local venv="" tool
    if [ -n "${DSP_VENV:-}" ]; then
        venv=$DSP_VENV
        [ -x "$venv/bin/python" ] ||
            misuse "DSP_VENV=$venv is not a virtual environment (no bin/python): make one with 'bash scripts/setup.sh --venv $venv', or unset DSP_VENV"
    elif ! command -v dsp-fairseq >/dev/null; then
        venv=$project/.venv
        bash "$project/scripts/setup.sh" --venv "$venv" || exit $?
    fi
    [ -z "$venv" ] || PATH=$venv/bin:$PATH
    for tool in "$@"; do
        command -v "$tool" >/dev/null ||
            misuse "command $tool not found${venv:+ in $venv}: 'bash scripts/setup.sh' installs it"
    done
    command -v dsp-fairseq >/dev/null || return 0
    local used
    used=$(dsp-fairseq user-dir)
    [[ $used == */site-packages/* ]] || [ "$used" -ef "$project/dsp_fairseq" ] ||
        say "note: the environment runs the code of another checkout, ${used%/dsp_fairseq}" >&2
}

# lock DIR: one script at a time in a folder; the lock goes when the last process of that script is gone
lock() {
    mkdir -p "$1" 2>/dev/null && [ -w "$1" ] || misuse "cannot write to $1: choose another folder with --out"
    command -v flock >/dev/null || return 0
    exec 9>>"$1/.lock"
    flock -n 9 || misuse "another run is working in $1: wait for it, or choose another folder with --out"
}

# is_full LOG: whether the disk of a log is full, or a command that wrote there found one full
is_full() {
    grep -qsiE 'No space left on device|Errno 28|Disk quota exceeded|disk full' "$1" ||
        [ "$(df -Pk "$(dirname "$1")" 2>/dev/null | awk 'NR == 2 { print $4 }')" -lt 64 ] 2>/dev/null
}

# why STATUS LOG: why a command failed: the signal that ended it, or else the last that it said
why() {
    local said name=""
    said=$(grep -vE '^[=[:space:]-]*$' "$2" 2>/dev/null | tail -n 1 || true)
    [ "$1" -le 128 ] || name=$(kill -l $(($1 - 128)) 2>/dev/null || true)
    case $name in
        "") say "${said:-it said nothing, and ended with status $1}" ;;
        KILL) say "killed by signal 9, probably out of memory" ;;
        *) say "killed by signal $(($1 - 128)) (SIG$name)" ;;
    esac
}

# stage NAME FUNCTION OUTPUT: makes OUTPUT by calling `FUNCTION PARTIAL-OUTPUT`, which becomes OUTPUT by one
# rename at the end. An OUTPUT that is there is finished, and skipped. What the tools say goes to a log.
stage() {
    local name=$1 make=$2 output=$3 status=0 started=$SECONDS full=no
    local partial=$output.partial log=$out/logs/$name.log
    if [ -e "$output" ]; then
        say "$name: done before, skipped"
        return
    fi
    mkdir -p "$out/logs"
    rm -rf "$partial"
    printf '%s: ' "$name"
    set +e                                           # not `|| status=$?`: that would switch off -e inside
    (set -e; "$make" "$partial") >"$log" 2>&1
    status=$?
    set -e
    if [ "$status" -ne 0 ]; then
        ! is_full "$log" || full=yes                 # asked while what filled it is there
        rm -rf "$partial"
        say "failed after $((SECONDS - started)) s"
        [ "$full" = no ] || disk_full "$log"
        [ "$status" -ne 2 ] || { tail -n 1 "$log" >&2; exit 2; }       # a helper's own one-line error
        fail "stage $name failed: $(why "$status" "$log") (all of it: $log)"
    fi
    mv "$partial" "$output"
    say "$((SECONDS - started)) s"
}

check_seed_and_name() {
    [[ $seed =~ ^[0-9]+$ ]] || misuse "--seed $seed: must be a whole number"
    [[ $name != */* ]] || misuse "--name $name: must be a plain folder name; --out says where it goes"
}

# claim_run NAME WORD...: sets `run`, in the folder `data`. A run folder belongs to one command: other flags must not
# continue, or pass for, what is there.
claim_run() {
    local command
    run=$data/runs/$1
    shift
    lock "$run"
    command=$(printf '%q ' "$@")
    if [ -e "$run/checkpoint_last.pt" ]; then
        [ "$(cat "$run/flags")" = "$command" ] ||
            misuse "$run was made with other flags (see $run/flags): give this run another --name, or remove that folder"
    else
        rm -f "$run/train.log" "$run/train.out"
        printf '%s\n' "$command" >"$run/flags.partial"
        mv "$run/flags.partial" "$run/flags"
    fi
}

# run_training COMMAND...: a fairseq-train that saves into `run`; an interrupted one goes on from its last checkpoint.
# A line per epoch is shown, all of it is in train.out
run_training() {
    local started=$SECONDS status=0 printed=$run/train.out before=0 told
    if [ -e "$run/trained" ]; then
        say "train: done before, skipped"
        return
    fi
    say "train: $run"
    [ ! -e "$printed" ] || before=$(wc -c <"$printed")
    "$@" 2>&1 | python "$project/examples/multi30k/summary.py" --follow "$printed" || status=$?
    if [ "$status" -ne 0 ]; then
        ! is_full "$printed" || disk_full "$printed"
        told=$(tail -c "+$((before + 1))" "$printed" | grep '^fairseq-train: error: ' | awk '!seen[$0]++' || true)
        [ "$1" != torchrun ] || [ -z "$told" ] || status=2             # torchrun itself ends with 1
        [ "$status" -ne 2 ] || { say "${told:-$(grep -v ' | ' "$printed" | tail -n 1)}" >&2; exit 2; }
        fail "training failed: $(why "$status" "$printed") (all of it: $printed)"
    fi
    touch "$run/trained"
    say "train: $((SECONDS - started)) s"
}
