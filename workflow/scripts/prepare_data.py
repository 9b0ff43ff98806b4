"""Turn one raw dataset into 8-bit images of the study's size, a manifest and an integrity report."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.data.prepare import prepare

    prepare(
        snakemake.wildcards.dataset,
        snakemake.config["datasets"][snakemake.wildcards.dataset],
        snakemake.params.labels,
        snakemake.params.image_size,
        snakemake.params.seed,
        images=snakemake.output.images,
        masks=snakemake.output.masks,
        manifest=snakemake.output.manifest,
        integrity=snakemake.output.integrity,
        table=snakemake.output.table,
        threads=snakemake.threads,
    )
