"""Draw the figures from metrics/*.csv."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake):
    from radsynth.analysis import figures
    from radsynth.analysis.archive import read_source

    metrics = read_source(snakemake.input, snakemake.params.source)
    for name, draw in figures.FIGURES.items():
        figures.save(draw(metrics), [path for path in snakemake.output if Path(path).stem == name])
