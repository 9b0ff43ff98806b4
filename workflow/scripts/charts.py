"""Draw the figures from metrics/*.csv."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake):
    from radsynth.report.archive import read_source
    from radsynth.report.chapter import figures, load
    from radsynth.report.drawing import save

    metrics = read_source(snakemake.input, snakemake.params.source)
    for name, where in figures(metrics).items():
        save(load(where)(metrics), [path for path in snakemake.output if Path(path).stem == name])
