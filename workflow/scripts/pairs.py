"""Compare random pairs of the images of one label with each other."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.features.network import choose_device
    from radsynth.features.pairs import compare_pairs

    compare_pairs(
        snakemake.input.manifest,
        snakemake.input.images,
        snakemake.output.pairs,
        label=snakemake.params.label,
        similarities=snakemake.params.similarities,
        limit=snakemake.params.limit,
        seed=snakemake.params.seed,
        weights=snakemake.input.get("weights"),
        device=choose_device(wanted=bool(snakemake.resources.get("gpu", 0)), threads=snakemake.threads),
    )
