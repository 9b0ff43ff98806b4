"""Measure one pool of synthetic images against the real images of its class."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.common.files import write_json
    from radsynth.common.tables import write_table
    from radsynth.learning.candidates import WITHHELD
    from radsynth.quality.evaluate import evaluate_pool

    model = snakemake.input.get("model")
    report, nearest = evaluate_pool(
        snakemake.input.real,
        snakemake.input.pool,
        snakemake.input.data_manifest,
        snakemake.input.train,
        snakemake.input.pool_manifest,
        snakemake.input.controls,
        snakemake.input.reals,
        snakemake.input.get("pairs"),
        f"{model}/{WITHHELD}" if model else None,
        label=snakemake.params.label,
        seed=snakemake.params.seed,
        score=snakemake.params.inception_score,
    )
    write_table(snakemake.output.nearest, nearest)
    write_json(snakemake.output.json, report)
