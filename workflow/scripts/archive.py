"""Keep the metrics, and nothing else, in resources/paper_cache/."""

from radsynth.common.job import job

with job(snakemake):
    from datetime import date

    from radsynth.report.archive import write_archive

    files = [*snakemake.input.metrics, snakemake.input.config]
    write_archive(snakemake.params.folder, files, date.today().isoformat())
