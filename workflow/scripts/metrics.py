"""Collect the results of all jobs into the tidy tables metrics/*.csv."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.analysis.archive import write_config
    from radsynth.analysis.metrics import metric_tables
    from radsynth.analysis.tidy import COLUMNS, write_csv

    for name, rows in metric_tables(snakemake.input, snakemake.params.results, snakemake.params.study).items():
        write_csv(snakemake.output[name], COLUMNS[name], rows)
        log.info("%s: %d rows", name, len(rows))
    write_config(snakemake.output.config, snakemake.params.config)
