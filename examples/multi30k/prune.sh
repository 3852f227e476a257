#!/usr/bin/env bash
# Chooses heads of the trained model, as `after` in sweep.yaml says, decodes and scores; see prune.sh --help.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/one.sh"
