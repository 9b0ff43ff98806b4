"""Show the synthetic images that come nearest to training images beside these."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.common.errors import UserError
    from radsynth.common.files import read_json
    from radsynth.pools.neighbours import closest, read_nearest, read_panels, write_neighbours

    given, params = snakemake.input, snakemake.params
    typical = read_json(given.controls)["typical_distance"]
    if params.extractor not in typical:
        raise UserError(f"{given.controls}: no typical distance in {params.extractor}; measure the quality again")
    table = read_nearest(given.nearest)
    chosen = closest(table, params.shown)
    panels = read_panels(chosen, params.pool, params.data, given.train)
    title = f"{params.title}: the {len(chosen)} of {len(table):,} images nearest to training images"
    write_neighbours(snakemake.output.png, chosen, panels, title, typical[params.extractor])
