"""Count the images of a dataset by what is known of them, and show some before and after preparation."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.common.files import read_json, write_text
    from radsynth.common.seeds import derive_seed
    from radsynth.common.tables import read_table
    from radsynth.data.describe import counts_markdown, write_samples
    from radsynth.data.source import load_source

    name, params = snakemake.wildcards.dataset, snakemake.params
    manifest = read_table(snakemake.input.manifest)
    write_text(snakemake.output.counts, counts_markdown(name, manifest, params.labels))
    source = load_source(snakemake.config["datasets"][name], params.labels)
    records = source.records(params.image_size, derive_seed(params.seed, "data", name))
    window = read_json(snakemake.input.integrity)["window"]
    write_samples(snakemake.output.samples, manifest, snakemake.input.images, records, window, params.labels)
