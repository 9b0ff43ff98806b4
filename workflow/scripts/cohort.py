"""Draw the training and test sets of one scenario and describe them."""

from radsynth.common.job import job

with job(snakemake):
    import numpy as np
    from radsynth.cohorts.scenarios import build_cohort, describe_subset, images_per_patient
    from radsynth.common.features import read_features
    from radsynth.common.files import write_json
    from radsynth.common.seeds import derive_seed
    from radsynth.common.tables import read_table, write_table

    wildcards, params = snakemake.wildcards, snakemake.params
    manifest = read_table(snakemake.input.manifest)
    orders = {label: read_table(path) for label, path in zip(params.labels, snakemake.input.orders, strict=True)}
    cohort = build_cohort(
        orders,
        manifest,
        params.scenario,
        name=params.scenario_name,
        gates=params.gates,
        spent=params.spent,
        test_split=params.test_split,
        validation_fraction=params.validation_fraction,
        seed=derive_seed(params.seed, "test", wildcards.dataset, wildcards.sampling, params.scenario_name),
    )
    features = read_features(snakemake.input.features, np.float32)
    subsets = {"train": cohort.train, "validation": cohort.validation}
    subsets |= {f"test_{k}": test for k, test in enumerate(cohort.tests, start=1)}
    summary = {
        "subsets": {
            subset: describe_subset(table, features.of(table["image_id"]), manifest, params.labels)
            for subset, table in subsets.items()
            if len(table)
        },
        "extractor": features.extractor["name"],
        "left_out": cohort.left_out,
        "patient_safe": cohort.patient_safe,
        "available": cohort.available,
        # Of the images that the training images were drawn from, beside those of each subset.
        "images_per_patient": {label: images_per_patient(order, manifest) for label, order in orders.items()},
    }
    write_table(snakemake.output.train, cohort.train)
    write_table(snakemake.output.validation, cohort.validation)
    for path, test in zip(snakemake.output.tests, cohort.tests, strict=True):
        write_table(path, test)
    write_json(snakemake.output.summary, summary)
