"""Collect the results of all jobs into the tidy tables metrics/*.csv."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.analysis import collect, statistics
    from radsynth.analysis.archive import write_config
    from radsynth.analysis.arms import Arms
    from radsynth.analysis.correction import corrected_evaluations
    from radsynth.analysis.tidy import COLUMNS, write_csv

    given, results, study = snakemake.input, snakemake.params.results, snakemake.params.study
    measured = [collect.read_evaluation(path, results) for path in given.evaluations]
    log.info("%d evaluations read", len(measured))
    evaluations = measured + corrected_evaluations(measured)
    arms = Arms.of(study)
    comparisons = statistics.compare(evaluations, arms, study["seed"])
    cohorts = collect.cohort_rows(given.summaries, results)
    jobs = collect.job_names(given.models, given.pools, given.trainings, measured, results)
    tables = {
        "study": collect.study_rows(study) + collect.warning_rows(given.models, results),
        "integrity": collect.integrity_rows(given.integrity, results),
        "cohorts": cohorts,
        "quality": collect.quality_rows(given.quality, results),
        "classification": collect.classification_rows(evaluations),
        "confusion": collect.confusion_rows(evaluations),
        "roc_auc": statistics.roc_auc_rows(evaluations),
        "comparisons": comparisons,
        "verdicts": statistics.verdict_rows(comparisons, arms, cohorts),
        "mcnemar": statistics.mcnemar_rows(evaluations, arms),
        "replicates": statistics.replicate_rows(comparisons, arms),
        "recognition": collect.recognition_rows(evaluations),
        "training": collect.training_rows(given.models, results),
        "costs": collect.cost_rows(given.benchmarks, results, jobs),
    }
    for name, rows in tables.items():
        write_csv(snakemake.output[name], COLUMNS[name], rows)
        log.info("%s: %d rows", name, len(rows))
    write_config(snakemake.output.config, snakemake.params.config)
