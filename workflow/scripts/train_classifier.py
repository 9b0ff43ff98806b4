"""Train one classifier on one run of a mix."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.common.tables import read_table
    from radsynth.tasks.mixes import assemble, read_pools
    from radsynth.tasks.runs import train_run
    from radsynth.tasks.task import make_task

    given, params = snakemake.input, snakemake.params
    task = make_task(params.task, params.labels, params.positive_label)
    lesson = assemble(
        params.name,
        params.arm,
        read_table(given.train),
        read_table(given.validation),
        dict(zip(params.known_scenarios, map(read_table, given.known), strict=True)),
        read_pools(given.pools, [pool for pool, _ in params.mix_pools]),
        params.root,
        params.labels,
        fraction=params.validation_fraction if params.validation == "images" else None,
        batch_size=params.classifier["batch_size"],
        seed=params.seed_split,
    )
    train_run(
        *(lesson, task, params.classifier, snakemake.output),
        seeds={"split": params.seed_split, "train": params.seed_train},
        validation=params.validation,
        weights=given.get("weights"),
        augment=params.arm["mix"].get("augment"),
        threads=snakemake.threads,
        keras_backend=params.backend,
    )
