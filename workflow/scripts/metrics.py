"""Collect the results of all jobs into the tidy tables metrics/*.csv."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.analysis import collect, statistics
    from radsynth.analysis.tidy import COLUMNS, write_csv

    results, study = snakemake.params.results, snakemake.params.study
    evaluations = [collect.read_evaluation(path, results) for path in snakemake.input.evaluations]
    log.info("%d evaluations read", len(evaluations))
    tables = {
        "study": collect.study_rows(study),
        "integrity": collect.integrity_rows(snakemake.input.integrity, results),
        "cohorts": collect.cohort_rows(snakemake.input.summaries, results),
        "quality": collect.quality_rows(snakemake.input.quality, results),
        "classification": collect.classification_rows(evaluations),
        "confusion": collect.confusion_rows(evaluations),
        "comparisons": statistics.compare(evaluations, study["seed"]),
        "costs": collect.cost_rows(snakemake.input.benchmarks, results),
    }
    for name, rows in tables.items():
        write_csv(snakemake.output[name], COLUMNS[name], rows)
        log.info("%s: %d rows", name, len(rows))
