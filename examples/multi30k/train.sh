#!/usr/bin/env bash
# Trains, decodes and scores one model on Multi30k in the setting of sweep.yaml; see train.sh --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/one.sh"
