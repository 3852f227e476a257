#!/usr/bin/env bash
# All measurements on one GPU, in one call of at most 9 minutes: tests, sampling, training and decoding speed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project_of_script=$(cd "$here/.." && pwd)
source "$here/gpu_common.sh"

usage() {
    cat <<EOF
usage: gpu.sh [--out DIR] [--minutes M] [--wheels DIR] [--device cuda|cpu] [--quick]
  --out DIR      where the results go: a JSON file for each stage, GPU.md, gpu.log (default: build/gpu/results)
  --minutes M    stop in time (default: 9); what is finished stays, and the same command goes on with the rest
  --wheels DIR   make an environment from these (default: the environment at hand, else build/gpu/wheels)
  --device cpu   on the processor; with --quick, to try this script where there is no GPU
  --quick        small sizes, so that the figures mean nothing
environment:
  DSP_VENV       virtual environment to use
  DSP_COMMIT     what to write as the commit, where the checkout has no history
exit: 0 all done; 1 a stage failed; 2 wrong use, or no GPU; 3 the time was up, call it again
EOF
}

out=$project/build/gpu/results minutes=9 wheels="" device=cuda quick=no
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=$(value_of "$@"); shift 2 ;;
        --minutes) minutes=$(value_of "$@"); shift 2 ;;
        --wheels) wheels=$(value_of "$@"); shift 2 ;;
        --device) device=$(value_of "$@"); shift 2 ;;
        --quick) quick=yes; shift ;;
        -h|--help) usage; exit ;;
        *) misuse "unknown option $1: known are --out, --minutes, --wheels, --device, --quick, --help" ;;
    esac
done
check_minutes
case $device in cuda | cpu) ;; *) misuse "--device $device: must be cuda or cpu" ;; esac
[ -z "$wheels" ] || [ -d "$wheels" ] || misuse "--wheels $wheels: is no folder; benchmarks/wheels.sh makes it"

open_environment "$wheels"
[ "$device" = cpu ] || check_gpu ", or try the script with --device cpu --quick"
lock "$out"
out=$(cd "$out" && pwd)
log=$out/gpu.log
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
cd "$project"
export PYTHONUNBUFFERED=1
deadline=$((minutes * 60 - 10)) failed=() unfinished=()

# measure SECONDS FILE COMMAND...: a stage, which writes its FILE when it is done
measure() {
    local limit=$(($1 * patience)) file=$2 left=$((deadline - SECONDS)) started=$SECONDS status=0
    shift 2
    if [ -e "$out/$file" ]; then
        say "== $file: done before, skipped"
        return
    fi
    if [ "$left" -lt 15 ]; then
        unfinished+=("$file")
        return
    fi
    [ "$limit" -le "$left" ] || limit=$left
    say "== $file: at most $limit s"
    printf '\n== %s: %s\n' "$file" "$*" >>"$log"
    timeout -k 5 "$limit" "$@" --json "$out/$file" 2>>"$log" | tee -a "$log" || status=$?
    if [ -e "$out/$file" ]; then                     # it appears as the last thing, and whole
        say "   $((SECONDS - started)) s"
    elif [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        unfinished+=("$file")
        say "   stopped after $limit s"
    else
        failed+=("$file")
        say "   failed: $(tail -n 1 "$log") (all of it: $log)"
    fi
}

on_device=(--device "$device")
half=("${on_device[@]}" --fp16)
joint=(none "dsp, search" "dsp, settled" dsp-published)
if [ "$quick" = no ]; then
    patience=1
    small=(--types 10000) large=(--types 32000)
    runs=200 iwslt=(--shape iwslt --keep 36) big=(--shape wmt-big --keep 144)
    train=(--max-tokens 4096 --runs 5 --updates 20 --seconds 60)
    decode=(--batch-size 128 --batches 4 --rounds 5 --seconds 60 --only all 18 6)
    unit=(tests/unit) jobs=8
else
    patience=5                                      # of a busy processor
    small=(--types 200 --pairs 100 --test 8) large=("${small[@]}")
    runs=10 iwslt=(--shape multi30k --keep 18) big=(--shape multi30k --keep 12)
    train=(--max-tokens 60 --runs 1 --updates 1)
    decode=(--batch-size 2 --batches 1 --rounds 1 --only 6)
    joint=(dsp-published)
    half=("${on_device[@]}")                        # half precision is slow on a processor
    unit=(tests/unit/test_subset.py) jobs=0
fi
python benchmarks/random_corpus.py "$data/small" "${small[@]}" 2>>"$log"
python benchmarks/random_corpus.py "$data/large" "${large[@]}" 2>>"$log"

# the most important first
measure 90 on-device.json python benchmarks/gpu_tests.py "${on_device[@]}" tests/unit/test_on_device.py
measure 60 sampling.json python benchmarks/sampling.py "${on_device[@]}" --runs "$runs"
train+=("${half[@]}" --only "${joint[@]}")
measure 150 training-iwslt.json python benchmarks/training_speed.py "$data/small" "${iwslt[@]}" "${train[@]}"
measure 200 training-wmt-big.json python benchmarks/training_speed.py "$data/large" "${big[@]}" "${train[@]}"
measure 150 decoding.json python benchmarks/decoding_speed.py "$data/small" "${half[@]}" "${decode[@]}"
measure 240 unit.json python benchmarks/gpu_tests.py "${on_device[@]}" --jobs "$jobs" "${unit[@]}"

any_device=()
[ "$device" = cuda ] || any_device=(--any-device)
say "== GPU.md"
python benchmarks/gpu_page.py "$out" --page "$out/GPU.md" ${any_device[@]+"${any_device[@]}"}
say "results: $out, after $SECONDS s"
[ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]} (see $log); the same command tries them again"
if [ ${#unfinished[@]} -gt 0 ]; then
    say "gpu.sh: no time was left for ${unfinished[*]}: the same command goes on"
    exit 3
fi
