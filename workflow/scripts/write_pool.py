"""Write the pool of synthetic images of one label, its manifest and a grid to look at."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.common.registry import find
    from radsynth.pools.grid import write_grid
    from radsynth.pools.material import read_given
    from radsynth.pools.writing import count_duplicates, write_pool

    given, output, params = snakemake.input, snakemake.output, snakemake.params
    files = [given.models, given.pools, given.classifiers, given.datasets]
    named = [dict(zip(*pair, strict=True)) for pair in zip(params.needs, files, strict=False)]
    manifest = write_pool(
        find("pools", params.entry["kind"], "kind").load()(),
        read_given(
            *(params.entry, params.labels, params.generators, *named, given.files),
            architectures=params.architectures,
            threads=snakemake.threads,
        ),
        output.images,
        output.manifest,
        label=params.label,
        size=params.entry["size"],
        seed=params.seed,
        threads=snakemake.threads,
    )
    count_duplicates(manifest)
    title = f"{snakemake.wildcards.pool}: {params.label}"
    write_grid(output.grid, Path(output.manifest).parent, manifest, title, params.seed)
