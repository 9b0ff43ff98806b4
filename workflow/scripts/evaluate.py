"""Evaluate one trained classifier on test sets of real images, or on a pool's images."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.tasks.keras_backend import prepare

    backend = prepare(snakemake.threads, snakemake.params.backend)

    import keras
    import numpy as np
    from radsynth.cohorts.testsets import stacked
    from radsynth.common.files import read_json, write_json, write_text
    from radsynth.tasks.evaluation import evaluate, made_by, predictions_table
    from radsynth.tasks.keras_training import predict
    from radsynth.tasks.mixes import read_pixels, read_pools, read_tests

    given, params = snakemake.input, snakemake.params
    if params.pool:
        made = read_pools(given.tests, [params.pool] * len(given.tests)).assign(patient_id="")
        tests = dict.fromkeys(params.testsets, made)
    else:
        tests = read_tests(given.tests, given.images, params.testsets)
    model, training = keras.saving.load_model(given.model), read_json(given.training)
    threshold, tables, reports = training["threshold"], {}, {}
    for name, test in tests.items():
        probabilities = np.empty((0, len(params.labels)), np.float32)
        if len(test):
            probabilities = predict(model, read_pixels(test))
        tables[name] = predictions_table(test, probabilities, params.labels)
        found = evaluate(tables[name], params.labels, params.positive_label, threshold["value"], threshold["reason"])
        log.info("%s: %s", name, found["metrics"])
        reports[name] = found | made_by(training, backend)
    write_text(snakemake.output.predictions, stacked(tables).to_csv(index=False))
    write_json(snakemake.output.metrics, reports)
