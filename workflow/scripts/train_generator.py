"""Train one generator on one unit (a label, or all labels jointly) of a cohort."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake):
    from radsynth.generators.base import TrainingSet
    from radsynth.generators.training import train_generator

    params = snakemake.params
    labels = params.labels if params.unit == "joint" else [params.unit]
    train_generator(
        params.family,
        dict(params.options),
        TrainingSet.from_manifest(snakemake.input.train, Path(params.root), labels),
        model_dir=snakemake.output.model,
        training_png=snakemake.output.training,
        preview_png=snakemake.output.preview,
        seed=params.seed,
    )
