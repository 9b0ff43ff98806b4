"""Put new tables in the place of the old ones."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake):
    import shutil

    from radsynth.common.files import atomic_path

    for path in map(Path, snakemake.output):
        with atomic_path(path) as temporary:
            shutil.copyfile(Path(snakemake.input.tables) / path.name, temporary)
