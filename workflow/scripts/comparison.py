"""Show original and synthetic images of one label side by side (figures 5 and 6 of the core paper)."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake):
    from radsynth.common.tables import read_table
    from radsynth.pools.pictures import write_comparison

    params = snakemake.params
    train = read_table(snakemake.input.train)
    columns = [("original", params.root, train[train["label"] == params.label])]
    for name, manifest in zip(params.names, snakemake.input.pools, strict=True):
        columns.append((name, Path(manifest).parent, read_table(manifest)))
    write_comparison([snakemake.output.png, snakemake.output.pdf], columns, params.label, seed=0)
