"""Extract the features of image sets with a classifier that has been trained on a cohort."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.classifiers.backend import prepare

    prepare(snakemake.threads, snakemake.params.backend)

    import keras
    from radsynth.classifiers.domain import describe, last_hidden_layer
    from radsynth.classifiers.training import predict
    from radsynth.common.features import read_image_set, write_features
    from radsynth.common.files import read_json

    model = last_hidden_layer(keras.saving.load_model(snakemake.input.model))
    extractor = describe(model, snakemake.input.model, read_json(snakemake.input.training))
    for manifest, output in zip(snakemake.input.manifests, snakemake.output.features, strict=True):
        image_ids, images = read_image_set(manifest)
        write_features(output, image_ids, predict(model, images), extractor, {})
        log.info("%s: %d images, %d features each", output, len(images), extractor["dim"])
