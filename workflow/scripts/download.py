"""Make sure that a dataset's raw files are there, and record where they came from."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.common.files import write_json
    from radsynth.data.registry import download

    write_json(snakemake.output.record, download(snakemake.params.dataset, looked_for=snakemake.params.looked_for))
