"""Keep the metrics, and nothing else, in resources/paper_cache/."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.analysis.archive import write_archive

    write_archive(snakemake.output.folder, snakemake.input.metrics, snakemake.params.config, snakemake.params.date)
