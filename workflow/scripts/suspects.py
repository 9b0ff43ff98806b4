"""Show every synthetic image that is too near to a training image for chance beside that image."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.pools.suspects import read_suspects, write_suspects

    params = snakemake.params
    suspects = read_suspects(snakemake.input.suspects, params.quality)
    log.info("%d images", len(suspects))
    n_pools = len(snakemake.input.quality)
    write_suspects(snakemake.output.png, suspects, params.pool, params.data, n_pools, params.shown)
