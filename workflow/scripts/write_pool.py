"""Write the pool of synthetic images of one label, its manifest and a grid to look at."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.common.registry import find
    from radsynth.pools.grid import write_grid
    from radsynth.pools.writing import count_duplicates, model_hash, write_pool

    model_dir, output, params = snakemake.input.model, snakemake.output, snakemake.params
    generator = find("families", params.family, "family").load().load(model_dir)
    manifest = write_pool(
        generator,
        model_hash(model_dir),
        output.images,
        output.manifest,
        label=params.label,
        size=params.pool_size,
        seed=params.seed,
        sampler=dict(params.sampler),
        threads=snakemake.threads,
    )
    count_duplicates(manifest)
    write_grid(
        output.grid,
        Path(output.manifest).parent,
        manifest,
        f"{snakemake.wildcards.generator}: {params.label}",
        params.seed,
    )
