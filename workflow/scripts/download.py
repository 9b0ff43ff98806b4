"""Make sure that a dataset's raw files are there, and record where they came from."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.common.files import write_json
    from radsynth.data.downloads import download

    dataset = snakemake.config["datasets"][snakemake.wildcards.dataset]
    write_json(snakemake.output.record, download(dataset, looked_for=snakemake.params.looked_for))
