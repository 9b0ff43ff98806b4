#!/usr/bin/env bash
# The paper's generators on a GPU, in parts that can be interrupted and run again: what is done is not done twice, and
# a training goes on from its last state. Needs resources/raw/kaggle_pneumonia. Usage: benchmarks/gpu_run.sh [CORES]
set -euo pipefail
cd "$(dirname "$0")/.."
cores=${1:-16}
study=(snakemake --configfile config/kermany_paper.yaml --cores "$cores" --resources gpu=1 --rerun-incomplete)
models=results/kermany_paper/generators/kaggle_pneumonia/random/small
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv

# One class at a time, so that half an hour on a machine is never lost.
for generator in ddpm pggan; do
    for label in NORMAL PNEUMONIA; do
        "${study[@]}" "$models/$generator/$label/model"
    done
done
"${study[@]}" pools quality
python benchmarks/ddpm_training.py --preset paper
for label in NORMAL PNEUMONIA; do
    python benchmarks/ddpm_sampling.py "$models/ddpm/$label/model" results/kermany_paper/data/kaggle_pneumonia "$label"
done
python benchmarks/pggan_step.py
"${study[@]}" all
"${study[@]}" archive
