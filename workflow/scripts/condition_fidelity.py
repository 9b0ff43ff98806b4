"""Measure whether the images of a pool show what was asked of them."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.common.files import write_json
    from radsynth.fidelity.condition_fidelity import condition_fidelity

    given = snakemake.input
    report = condition_fidelity(
        given.real,
        given.pool,
        given.data_manifest,
        given.train,
        given.pool_manifests,
        seed=snakemake.params.seed,
    )
    write_json(snakemake.output.json, report)
