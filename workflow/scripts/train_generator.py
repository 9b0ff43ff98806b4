"""Train one generator on one unit (a label, or all labels jointly) of a cohort, or first of another dataset."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.common.gpu import held_gpus
    from radsynth.common.sets import ImageSet
    from radsynth.common.tables import read_table
    from radsynth.generators.training import train_generator
    from radsynth.generators.withholding import withhold

    train, output, params = snakemake.input.train, snakemake.output, snakemake.params
    rows = read_table(train)
    withheld = withhold(rows[rows["label"].isin(params.labels)], **params.withholding) if params.withholding else None
    train_generator(
        params.family,
        dict(params.options),
        ImageSet.from_manifest(train, params.root, params.labels, () if withheld is None else withheld["image_id"]),
        model_dir=output.model,
        training_png=output.training,
        preview_png=output.preview,
        seed=params.seed,
        selection=params.selection,
        withheld=withheld,
        processes=max(len(held_gpus()), 1),
        start=snakemake.input.get("start") or None,
        pretraining_on=params.get("pretraining_on"),
        weights=snakemake.input.get("weights") or None,
    )
