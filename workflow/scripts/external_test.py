"""Take an external dataset as a test set."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.cohorts.external import unseen_images
    from radsynth.common.tables import read_table, write_table

    external = read_table(snakemake.input.external)
    unseen = unseen_images(external, [read_table(path) for path in snakemake.input.seen])
    log.info("%d images, %d left out: the same pixels were trained on", len(unseen), len(external) - len(unseen))
    write_table(snakemake.output.test, unseen)
