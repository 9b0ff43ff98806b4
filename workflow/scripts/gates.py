"""Check that no test image has been seen, or nearly seen, in training."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.cohorts.elsewhere import check_elsewhere
    from radsynth.cohorts.gates import check_gates
    from radsynth.common.files import write_json

    found = check_gates(
        snakemake.input.train,
        [snakemake.input.tests],
        snakemake.input.generator_trains,
        snakemake.input.manifest,
        snakemake.params.gates,
        snakemake.params.test_split,
        snakemake.input.validation,
        snakemake.params.counts,
    )
    tested = [snakemake.input.tests, snakemake.input.validation]
    found["elsewhere"] = check_elsewhere(
        tested, snakemake.input.get("repeats", ()), snakemake.input.manifest, snakemake.params.gates
    )
    write_json(snakemake.output.gates, {"scenario": snakemake.params.scenario_name, **found})
