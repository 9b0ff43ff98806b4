"""Draw the training and test sets of one scenario and describe them."""

from radsynth.common.job import job

with job(snakemake):
    import numpy as np
    from radsynth.cohorts.describing import describe_cohort
    from radsynth.cohorts.scenarios import build_cohort
    from radsynth.cohorts.testsets import stacked
    from radsynth.common.features import read_features
    from radsynth.common.files import write_json
    from radsynth.common.seeds import derive_seed
    from radsynth.common.tables import read_table, write_table

    given, output, params = snakemake.input, snakemake.output, snakemake.params
    manifest = read_table(given.manifest)
    orders = {label: read_table(path) for label, path in zip(params.labels, given.orders, strict=True)}
    names = (snakemake.wildcards.dataset, snakemake.wildcards.sampling, params.scenario_name)
    cohort = build_cohort(
        orders,
        manifest,
        params.scenario,
        name=params.scenario_name,
        gates=params.gates,
        spent=params.spent,
        test_split=params.test_split,
        validation_fraction=params.validation_fraction,
        seed=derive_seed(params.seed, "test", *names),
    )
    write_table(output.train, cohort.train)
    write_table(output.validation, cohort.validation)
    write_table(output.tests, stacked(cohort.testsets))
    write_json(output.summary, describe_cohort(cohort, orders, manifest, read_features(given.features, np.float32)))
