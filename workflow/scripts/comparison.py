"""Show original and synthetic images of one label side by side (figures 5 and 6 of the core paper)."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.common.images import read_gray_stack
    from radsynth.common.tables import read_table
    from radsynth.pools.figures import write_comparison
    from radsynth.pools.writing import read_pool

    params = snakemake.params
    train = read_table(snakemake.input.train)
    original = read_gray_stack(params.root, train.loc[train["label"] == params.label, "file"])
    pools = [read_pool(manifest)[1] for manifest in snakemake.input.pools]
    columns = [("original", original), *zip(params.generators, pools, strict=True)]
    write_comparison([snakemake.output.png, snakemake.output.pdf], columns, params.label, seed=0)
