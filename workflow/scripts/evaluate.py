"""Evaluate one trained classifier on test sets of real images, or on a pool's images."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.tasks.keras_backend import prepare

    backend = prepare(snakemake.threads, snakemake.params.backend)

    import keras
    import numpy as np
    from radsynth.common.files import read_json, write_json, write_text
    from radsynth.common.tables import read_table
    from radsynth.tasks.evaluation import evaluate, predictions_table
    from radsynth.tasks.keras_training import predict
    from radsynth.tasks.mixes import read_pixels, read_pools

    params, output = snakemake.params, snakemake.output
    if params.pool:
        pools = snakemake.input.tests
        tests = [read_pools(pools, [params.pool] * len(pools)).assign(patient_id="")]
    else:
        tests = [
            read_table(path).assign(root=root) for path, root in zip(snakemake.input.tests, params.roots, strict=True)
        ]
    model, training = keras.saving.load_model(snakemake.input.model), read_json(snakemake.input.training)
    made = {key: training[key] for key in ("architecture", "weights")}
    made |= {key: backend[key] for key in ("backend", "device")}
    made["trained_on"] = training["images_per_epoch"]
    threshold = training["threshold"]
    for test, predictions, metrics in zip(tests, output.predictions, output.metrics, strict=True):
        probabilities = np.empty((0, len(params.labels)), np.float32)
        if len(test):
            probabilities = predict(model, read_pixels(test))
        table = predictions_table(test, probabilities, params.labels)
        result = evaluate(table, params.labels, params.positive_label, threshold["value"], threshold["reason"])
        log.info("%s: %s", metrics, result["metrics"])
        write_text(predictions, table.to_csv(index=False))
        write_json(metrics, result | made)
