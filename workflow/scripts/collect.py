"""Collect the results of all jobs into the tidy tables of metrics/*.csv."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.analysis.archive import write_config
    from radsynth.analysis.metrics import metric_tables
    from radsynth.analysis.tidy import COLUMNS, write_csv

    folder = Path(snakemake.output.tables)
    for name, rows in metric_tables(snakemake.input, snakemake.params.results, snakemake.params.study).items():
        write_csv(folder / f"{name}.csv", COLUMNS[name], rows)
        log.info("%s: %d rows", name, len(rows))
    write_config(folder / "config.yaml", snakemake.params.config)
