"""Collect the results of all jobs into the tidy tables of metrics/*.csv."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.report.archive import write_config
    from radsynth.report.gathering import metric_tables
    from radsynth.report.tidy import COLUMNS, write_csv

    folder = Path(snakemake.output.tables)
    for name, rows in metric_tables(snakemake.input, snakemake.params.results, snakemake.params.study).items():
        write_csv(folder / f"{name}.csv", COLUMNS[name], rows)
        log.info("%s: %d rows", name, len(rows))
    write_config(folder / "config.yaml", snakemake.params.config)
