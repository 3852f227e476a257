#!/usr/bin/env bash
# Multi30k with the full transformer_iwslt_de_en on one GPU: 72, 36, 24, 12 and 6 heads, 3 seeds, in several calls.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project_of_script=$(cd "$here/.." && pwd)
source "$here/gpu_common.sh"

usage() {
    cat <<EOF
usage: gpu_multi30k.sh [--data DIR] [--out DIR] [--work DIR] [--state FILE] [--minutes M] [--jobs N] [--wheels DIR]
                       [--config YAML] [--device cuda|cpu]
  --data DIR     as examples/multi30k/prepare.sh made it; data-bin and raw/test_2016_flickr.en are read
                 (default: examples/multi30k/work)
  --out DIR      small results: multi30k.json, multi30k-state.tar.gz (default: build/gpu/results)
  --work DIR     the trainings with their checkpoints (default: build/gpu/multi30k)
  --state FILE   multi30k-state.tar.gz of an earlier call, for a machine where --work is empty
  --minutes M    stop in time (default: 9); the same command goes on
  --jobs N       trainings at a time (default: 3)
  --wheels DIR   make an environment from these (default: the environment at hand, else build/gpu/wheels)
  --config YAML  another grid (default: benchmarks/gpu_multi30k.yaml)
  --device cpu   to try this script, with a --config whose flags say --cpu
exit: 0 all done; 1 a training failed; 2 wrong use, or no GPU; 3 the time was up, call it again
EOF
}

data=$project/examples/multi30k/work out=$project/build/gpu/results work=$project/build/gpu/multi30k
state=() minutes=9 jobs=3 wheels="" config=$here/gpu_multi30k.yaml device=cuda
while [ $# -gt 0 ]; do
    case $1 in
        --data) data=$(value_of "$@"); shift 2 ;;
        --out) out=$(value_of "$@"); shift 2 ;;
        --work) work=$(value_of "$@"); shift 2 ;;
        --state) state=(--state "$(value_of "$@")"); shift 2 ;;
        --minutes) minutes=$(value_of "$@"); shift 2 ;;
        --jobs) jobs=$(value_of "$@"); shift 2 ;;
        --wheels) wheels=$(value_of "$@"); shift 2 ;;
        --config) config=$(value_of "$@"); shift 2 ;;
        --device) device=$(value_of "$@"); shift 2 ;;
        -h|--help) usage; exit ;;
        *) misuse "unknown option $1; see gpu_multi30k.sh --help" ;;
    esac
done
check_minutes
[[ $jobs =~ ^[1-9][0-9]*$ ]] || misuse "--jobs $jobs: must be a number of trainings, 1 or more"
case $device in cuda | cpu) ;; *) misuse "--device $device: must be cuda or cpu" ;; esac
[ -z "$wheels" ] || [ -d "$wheels" ] || misuse "--wheels $wheels: is no folder; benchmarks/wheels.sh makes it"
[ ${#state[@]} -eq 0 ] || [ -f "${state[1]}" ] ||
    misuse "--state ${state[1]}: is no file; name the multi30k-state.tar.gz of an earlier call"

open_environment "$wheels"
[ "$device" = cpu ] || check_gpu
python "$here/gpu_multi30k.py" --data "$data" --work "$work" --out "$out" --config "$config" --jobs "$jobs" \
    --until $(($(date +%s) + minutes * 60 - SECONDS)) --device "$device" ${state[@]+"${state[@]}"} || status=$?
[ "${status:-0}" -ne 3 ] || say "gpu_multi30k.sh: the time is up after $SECONDS s; the same command goes on"
exit "${status:-0}"
