"""Collect the results of all jobs into the tidy tables of metrics/*.csv."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.report.archive import write_config
    from radsynth.report.chapter import tidy_tables
    from radsynth.report.given import metric_tables
    from radsynth.report.tidy import write_csv

    folder, known = Path(snakemake.output.tables), tidy_tables()
    for name, rows in metric_tables(snakemake.input, snakemake.params.results, snakemake.params.study).items():
        write_csv(folder / f"{name}.csv", known[name].columns, rows)
        log.info("%s: %d rows", name, len(rows))
    write_config(folder / "config.yaml", snakemake.params.config)
