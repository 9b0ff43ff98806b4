"""Evaluate one trained classifier on one test set."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.classifiers.backend import prepare

    backend = prepare(snakemake.threads)

    import keras
    import pandas as pd
    from radsynth.classifiers.evaluation import evaluate, predictions_table
    from radsynth.classifiers.mixes import read_pools
    from radsynth.classifiers.training import predict
    from radsynth.common.files import read_json, write_json, write_text
    from radsynth.common.images import read_gray_stack

    params = snakemake.params
    if params.generator:
        pools = snakemake.input.test
        test = read_pools(pools, [params.generator] * len(pools)).assign(patient_id="")
    else:
        test = pd.read_csv(snakemake.input.test, dtype=str, keep_default_na=False).assign(root=params.root)
    images = read_gray_stack(".", test["root"] + "/" + test["file"])
    probabilities = predict(keras.saving.load_model(snakemake.input.model), images)
    table = predictions_table(test, probabilities, params.labels)
    result = evaluate(table, params.labels, params.positive_label)
    log.info("%s", result["metrics"])
    write_text(snakemake.output.predictions, table.to_csv(index=False))
    training = read_json(snakemake.input.training)
    write_json(
        snakemake.output.metrics,
        {
            **result,
            "architecture": training["architecture"],
            "weights": training["weights"],
            "backend": backend["backend"],
        },
    )
