"""Extract the features of an image set with a classifier that has been trained on a cohort."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.common.features import read_image_set, write_features
    from radsynth.common.files import read_json
    from radsynth.common.images import read_image_stack
    from radsynth.tasks.domain import describe
    from radsynth.tasks.learner import learner_class

    given = snakemake.input
    learner = learner_class(read_json(given.training)["architecture"])
    learner.prepare(snakemake.threads, snakemake.params.backend)
    learner = learner.load(given.model)
    image_ids, images = read_image_set(given.manifest, read_image_stack)
    features = learner.features(images)
    extractor = describe(learner, given.model, images, features)
    write_features(snakemake.output.features, image_ids, features, extractor, {})
    log.info("%d images, %d features each", len(images), extractor["dim"])
