"""Train one classifier on one run of a mix."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.classifiers.backend import prepare

    backend = prepare(snakemake.threads, snakemake.params.backend)

    import time
    from pathlib import Path

    from radsynth.classifiers.architectures import count_parameters
    from radsynth.classifiers.mixes import count_images, matched_steps, mix_images, read_pools
    from radsynth.classifiers.training import train
    from radsynth.common.files import atomic_path, write_json, write_text
    from radsynth.common.images import read_gray_stack
    from radsynth.common.tables import read_table
    from radsynth.common.weights import verify_weights, weights_entry

    params = snakemake.params
    cohort = read_table(snakemake.input.train)
    images = mix_images(
        params.mix_name,
        params.mix,
        cohort,
        params.root,
        read_pools(snakemake.input.pools, [generator for generator, _ in params.mix_pools]),
        params.labels,
        params.validation_fraction,
        params.seed_split,
    )
    steps = None
    if params.matched:
        steps = matched_steps(params.matched, images, cohort, params.matched_labels, params.classifier["batch_size"])
    counts = count_images(images)
    log.info("%s: %s", params.mix_name, counts)
    pixels = read_gray_stack(".", images["root"] + "/" + images["file"])
    targets = images["label"].map(params.labels.index).to_numpy()
    training = (images["subset"] == "train").to_numpy()
    weights = snakemake.input.get("weights")
    sha256 = verify_weights(weights, weights_entry(Path(weights).name)) if weights else None
    began = time.monotonic()
    model, history = train(
        params.classifier,
        pixels[training],
        targets[training],
        (pixels[~training], targets[~training]),
        len(params.labels),
        params.seed_train,
        weights=weights,
        augment=params.mix.get("augment"),
        steps_per_epoch=steps,
    )
    seconds = time.monotonic() - began  # with the features of a frozen base, which no epoch counts
    with atomic_path(snakemake.output.model) as path:
        model.save(path)
    write_text(snakemake.output.history, history.to_csv(index=False))
    write_text(snakemake.output.split, images[["image_id", "label", "subset", "origin"]].to_csv(index=False))
    write_json(
        snakemake.output.training,
        {
            **params.classifier,
            "weights_sha256": sha256,
            **count_parameters(model),
            "labels": params.labels,
            "n": counts,
            "seed_split": params.seed_split,
            "seed_train": params.seed_train,
            "seconds": round(seconds, 3),
            **backend,
            "threads": snakemake.threads,
        },
    )
