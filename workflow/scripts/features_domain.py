"""Extract the features of an image set with a classifier that has been trained on a cohort."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.tasks.keras_backend import prepare

    prepare(snakemake.threads, snakemake.params.backend)

    import keras
    from radsynth.common.features import read_image_set, write_features
    from radsynth.common.files import read_json
    from radsynth.tasks.domain import describe, last_hidden_layer
    from radsynth.tasks.keras_training import predict

    model = last_hidden_layer(keras.saving.load_model(snakemake.input.model))
    extractor = describe(model, snakemake.input.model, read_json(snakemake.input.training))
    image_ids, images = read_image_set(snakemake.input.manifest)
    write_features(snakemake.output.features, image_ids, predict(model, images), extractor, {})
    log.info("%d images, %d features each", len(images), extractor["dim"])
