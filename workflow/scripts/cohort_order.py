"""Put all images of one class in order: random or k-center greedy."""

from radsynth.common.job import job

with job(snakemake):
    import numpy as np
    from radsynth.cohorts.groups import image_groups, kept_for_testing
    from radsynth.cohorts.orders import farthest_first, random_order
    from radsynth.common.errors import UserError
    from radsynth.common.features import read_features
    from radsynth.common.seeds import derive_seed
    from radsynth.common.tables import read_table, write_table

    wildcards, params = snakemake.wildcards, snakemake.params
    manifest = read_table(snakemake.input.manifest)
    # Sorted, so that the order does not depend on the manifest's row order.
    of_class = (manifest["label"] == wildcards.label) & ~kept_for_testing(manifest, params.test_split)
    images = manifest[of_class].sort_values("image_id", ignore_index=True)
    if images.empty:
        found = ", ".join(f"{label} ({n})" for label, n in manifest["label"].value_counts().items())
        raise UserError(f"labels: no image of class {wildcards.label} in {snakemake.input.manifest}, found {found}")
    # Duplicates come together, for one of them in training keeps the others from testing; a patient's images do not.
    duplicates = image_groups(manifest, params.gates | {"patient": False})[images["image_id"]].to_numpy()
    parts = (wildcards.dataset, params.sampling_name, params.sampling["replicate"], wildcards.label)
    rng = np.random.default_rng(derive_seed(params.seed, "order", *parts))
    if params.sampling["method"] == "random":
        order = random_order(duplicates, rng)
    else:
        features = read_features(snakemake.input.features, np.float32).of(images["image_id"])
        order = farthest_first(features, int(rng.integers(len(images))), duplicates, params.limit)
    write_table(snakemake.output.order, images.iloc[order].assign(rank=range(len(order))))
