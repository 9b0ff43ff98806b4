"""Measure what every metric of a pool reads where there is nothing to find."""

from radsynth.common.job import job

with job(snakemake) as log:
    import numpy as np
    from radsynth.common.files import atomic_path, write_json
    from radsynth.learning.candidates import WITHHELD
    from radsynth.quality.controls import quality_controls

    model = snakemake.input.get("model")
    controls, reals = quality_controls(
        snakemake.input.real,
        snakemake.input.data_manifest,
        snakemake.input.train,
        snakemake.input.get("pairs"),
        f"{model}/{WITHHELD}" if model else None,
        label=snakemake.params.label,
        pool_size=snakemake.params.pool_size,
        baseline_draws=snakemake.params.baseline_draws,
        seed=snakemake.params.seed,
    )
    with atomic_path(snakemake.output.reals) as path:
        np.savez(path, **reals)
    write_json(snakemake.output.json, controls)
