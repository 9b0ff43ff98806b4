"""Find the images of a dataset that repeat an image of another one, which pools know."""

from radsynth.common.job import job

with job(snakemake) as log:
    from pathlib import Path

    from radsynth.cohorts.elsewhere import find_repeats
    from radsynth.common.tables import read_table, write_table

    given = snakemake.input
    roots = Path(given.manifest).parent, Path(given.other).parent
    found = find_repeats(read_table(given.manifest), read_table(given.other), roots, snakemake.params.dataset)
    for gate, rows in found.groupby("gate"):
        log.info("%d images repeat others by %s", rows["image_id"].nunique(), gate)
    write_table(snakemake.output.repeats, found)
