"""Measure one pool of synthetic images against the real images of its class."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.common.files import write_json
    from radsynth.quality.evaluate import evaluate_pool

    result = evaluate_pool(
        snakemake.input.real,
        snakemake.input.pool,
        snakemake.input.data_manifest,
        snakemake.input.train,
        snakemake.input.pool_manifest,
        label=snakemake.params.label,
        baseline_draws=snakemake.params.baseline_draws,
        seed=snakemake.params.seed,
    )
    write_json(snakemake.output.json, result)
