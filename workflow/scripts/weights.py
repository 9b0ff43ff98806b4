"""Fetch one file of published weights and check it."""

from radsynth.common.job import job

with job(snakemake) as log:
    from radsynth.common.weights import fetch_weights

    sha256 = fetch_weights(snakemake.output.file, snakemake.params.entry)
    log.info("%s: sha256 %s", snakemake.output.file, sha256)
