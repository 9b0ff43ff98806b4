"""Draw the figures from metrics/*.csv."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake):
    from radsynth.analysis.archive import read_source
    from radsynth.analysis.drawing import save
    from radsynth.analysis.figures import FIGURES

    metrics = read_source(snakemake.input, snakemake.params.source)
    for name, draw in FIGURES.items():
        save(draw(metrics), [path for path in snakemake.output if Path(path).stem == name])
