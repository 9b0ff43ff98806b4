"""Extract the features of one image set: a dataset, or a pool seen through the dataset's basis."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.common.registry import find
    from radsynth.features.stored import features_of_manifest

    device = "cpu"
    if find("extractors", snakemake.params.extractor, "extractor").needs_weights:
        from radsynth.features.network import choose_device

        device = choose_device(wanted=bool(snakemake.resources.get("gpu", 0)), threads=snakemake.threads)
    features_of_manifest(
        snakemake.input.manifest,
        snakemake.output.features,
        snakemake.params.extractor,
        weights=snakemake.input.get("weights"),
        reference=snakemake.input.get("reference"),
        device=device,
        cache=snakemake.params.cache,
    )
