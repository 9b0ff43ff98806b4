#!/usr/bin/env bash
# The paper's generators on a GPU, in parts that can be interrupted and run again: what is done is not done twice, and
# a training goes on from its last state. Needs resources/raw/kaggle_pneumonia (train/ and test/).
# Usage: benchmarks/gpu_run.sh [CORES] [KEEP]; after each class KEEP (default: results/kept) holds its metrics,
# description and weights (half precision), for machines that are given back.
set -euo pipefail
cd "$(dirname "$0")/.."
cores=${1:-16}
keep=${2:-results/kept}
study=(snakemake --configfile config/kermany_paper.yaml --cores "$cores" --resources gpu=1 --rerun-incomplete)
models=results/kermany_paper/generators/kaggle_pneumonia/random/small
mkdir -p "$keep"
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv | tee "$keep/gpu.csv"

for generator in ddpm pggan; do
    for label in NORMAL PNEUMONIA; do
        model=$models/$generator/$label/model
        "${study[@]}" "$model"
        python benchmarks/keep_model.py "$model" "$keep/$generator/$label"
    done
done
"${study[@]}" pools quality
# No pool that copies may leave the machine: the preview grids are kept where the copy check has passed.
python benchmarks/keep_previews.py results/kermany_paper "$keep"
python benchmarks/ddpm_training.py --preset paper | tee "$keep/ddpm_training.txt"
for label in NORMAL PNEUMONIA; do
    python benchmarks/ddpm_sampling.py "$models/ddpm/$label/model" results/kermany_paper/data/kaggle_pneumonia "$label" |
        tee "$keep/ddpm_sampling_$label.txt"
done
python benchmarks/pggan_step.py | tee "$keep/pggan_step.txt"
"${study[@]}" all
"${study[@]}" archive
