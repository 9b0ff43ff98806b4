"""Evaluate one trained classifier on test sets of real images, or on a pool's images."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.common.files import write_json, write_text
    from radsynth.common.tables import read_table
    from radsynth.tasks.mixes import read_pools
    from radsynth.tasks.runs import Examiner

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    if params.pool:
        tests = [read_pools(given.tests, [params.pool] * len(given.tests))]
    else:
        tests = [read_table(path).assign(root=root) for path, root in zip(given.tests, params.roots, strict=True)]
    examiner = Examiner(given.model, given.training, params.positive_label, snakemake.threads, params.backend)
    for test, predictions, metrics in zip(tests, output.predictions, output.metrics, strict=True):
        table, report = examiner.examine(test)
        log.info("%s: %s", metrics, report["metrics"])
        write_text(predictions, table.to_csv(index=False))
        write_json(metrics, report)
