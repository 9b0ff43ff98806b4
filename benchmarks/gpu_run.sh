#!/usr/bin/env bash
# One part of what needs a GPU, from a plain checkout and without network (see README.md here, "Everything that needs a
# GPU"). It ends within 8 minutes; called again it goes on.
# Usage: benchmarks/gpu_run.sh ratios|latent|check|train LABEL|pool LABEL [--dry-run] [--seconds N] [--out FOLDER] ...
# PYTHON (python3) is the interpreter, WHEELS (benchmarks/wheels) the folder of the wheels that it lacks.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
wheels=${WHEELS:-benchmarks/wheels}
if compgen -G "$wheels/*.whl" > /dev/null; then
    packages=$(mktemp -d)
    trap 'rm -rf "$packages"' EXIT
    "$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --target "$packages" "$wheels"/*.whl
    export PYTHONPATH=$packages${PYTHONPATH:+:$PYTHONPATH}
fi
# Should a compilation or the like not end in time; a training saves its state.
timeout --foreground --kill-after=10 465 "$python" benchmarks/gpu_parts.py "$@"
