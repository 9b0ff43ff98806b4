"""Train one classifier on one run of a mix."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.tasks.keras_backend import prepare

    backend = prepare(snakemake.threads, snakemake.params.backend)

    import time
    from pathlib import Path

    from radsynth.common.files import atomic_path, write_json, write_text
    from radsynth.common.tables import read_table
    from radsynth.common.weights import verify_weights, weights_entry
    from radsynth.tasks.keras_networks import count_parameters
    from radsynth.tasks.keras_training import predict, train
    from radsynth.tasks.mixes import assemble, count_images, read_pixels, read_pools
    from radsynth.tasks.thresholds import threshold_of

    given, params = snakemake.input, snakemake.params
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
    images, counts = lesson.images, lesson.epoch_counts
    log.info("%s: %s; images per epoch: %s", params.name, count_images(images, params.labels), counts)
    pixels = read_pixels(images)
    targets = images["label"].map(params.labels.index).to_numpy()
    training = (images["subset"] == "train").to_numpy()
    weights = given.get("weights")
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
        augment=params.arm["mix"].get("augment"),
        epoch_counts=[counts[label] for label in params.labels] if lesson.drawn else None,
        steps_per_epoch=lesson.steps,
    )
    seconds = time.monotonic() - began  # with the features of a frozen base, which no epoch counts
    positive = params.labels.index(params.positive_label)
    scores = predict(model, pixels[~training])[:, positive] if params.validation == "patients" else None
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
            "n": count_images(images, params.labels),
            "images_per_epoch": counts,
            "validation": params.validation,
            "threshold": threshold_of(lesson.validation, scores, params.positive_label),
            "seed_split": params.seed_split,
            "seed_train": params.seed_train,
            "seconds": round(seconds, 3),
            **backend,
            "threads": snakemake.threads,
        },
    )
