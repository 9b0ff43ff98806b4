"""Train one classifier on one run of a mix."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.classifiers.backend import prepare

    backend = prepare(snakemake.threads)

    import pandas as pd
    from radsynth.classifiers.architectures import count_parameters
    from radsynth.classifiers.mixes import count_images, mix_images, read_pools
    from radsynth.classifiers.registry import find_architecture
    from radsynth.classifiers.training import train
    from radsynth.common.files import atomic_path, write_json, write_text
    from radsynth.common.images import read_gray_stack

    params = snakemake.params
    images = mix_images(
        params.mix_name,
        params.mix,
        pd.read_csv(snakemake.input.train, dtype=str, keep_default_na=False),
        params.root,
        read_pools(snakemake.input.pools, [generator for generator, _ in params.mix_pools]),
        params.labels,
        params.validation_fraction,
        params.seed_split,
    )
    counts = count_images(images)
    log.info("%s: %s", params.mix_name, counts)
    pixels = read_gray_stack(".", images["root"] + "/" + images["file"])
    targets = images["label"].map(params.labels.index).to_numpy()
    training = (images["subset"] == "train").to_numpy()
    model, history = train(
        params.classifier,
        pixels[training],
        targets[training],
        (pixels[~training], targets[~training]),
        len(params.labels),
        params.seed_train,
    )
    with atomic_path(snakemake.output.model) as path:
        model.save(path)
    write_text(snakemake.output.history, history.to_csv(index=False))
    write_text(snakemake.output.split, images[["image_id", "label", "subset", "origin"]].to_csv(index=False))
    write_json(
        snakemake.output.training,
        {
            **params.classifier,
            "weights": find_architecture(params.classifier["architecture"]).weights,
            **count_parameters(model),
            "labels": params.labels,
            "n": counts,
            "seed_split": params.seed_split,
            "seed_train": params.seed_train,
            "seconds": round(float(history["seconds"].sum()), 3),
            **backend,
            "threads": snakemake.threads,
        },
    )
