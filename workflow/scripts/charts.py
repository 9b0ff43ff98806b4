"""Draw the figures from metrics/*.csv."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake):
    from radsynth.report.archive import read_source
    from radsynth.report.charts import FIGURES
    from radsynth.report.drawing import save

    metrics = read_source(snakemake.input, snakemake.params.source)
    for name, draw in FIGURES.items():
        save(draw(metrics), [path for path in snakemake.output if Path(path).stem == name])
