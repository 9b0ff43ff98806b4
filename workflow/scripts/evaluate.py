"""Evaluate one trained classifier on test sets of real images, or on a pool's images."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.cohorts.testsets import stacked
    from radsynth.common.files import write_json, write_text
    from radsynth.tasks.mixes import read_pools, read_tests
    from radsynth.tasks.runs import Examiner

    given, params = snakemake.input, snakemake.params
    if params.pool:
        tests = dict.fromkeys(params.testsets, read_pools(given.tests, [params.pool] * len(given.tests)))
    else:
        tests = read_tests(given.tests, given.images, params.testsets)
    examiner = Examiner(given.model, given.training, params.positive_label, snakemake.threads, params.backend)
    tables, reports = {}, {}
    for name, test in tests.items():
        tables[name], reports[name] = examiner.examine(test)
        log.info("%s: %s", name, reports[name]["metrics"])
    write_text(snakemake.output.predictions, stacked(tables).to_csv(index=False))
    write_json(snakemake.output.metrics, reports)
