"""Say in words what metrics/*.csv show."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.common.files import write_text
    from radsynth.report import summary
    from radsynth.report.archive import read_source

    metrics = read_source(snakemake.input, snakemake.params.source)
    write_text(snakemake.output.headline, "\n".join(summary.headline(metrics)) + "\n")
    write_text(snakemake.output.summary, summary.summary(metrics))
