"""Take an external dataset as a test set."""

from radsynth.common.job import job

with job(snakemake) as log:
    from pathlib import Path

    import pandas as pd
    from radsynth.cohorts.external import describe_external, known_elsewhere, seen_before, unseen_images
    from radsynth.cohorts.testsets import stacked
    from radsynth.common.files import write_json
    from radsynth.common.tables import read_table, write_table

    given, params = snakemake.input, snakemake.params
    external = read_table(given.external)
    seen = pd.concat([read_table(path) for path in given.seen]).drop_duplicates("image_id")
    found = seen_before(external, seen, (Path(given.external).parent, params.root), params.gates)
    elsewhere = known_elsewhere(external, given.get("repeats", ()), params.gates)
    found = {gate: mask | found.get(gate, False) for gate, mask in elsewhere.items()}
    unseen = unseen_images(external, found)
    for gate, mask in found.items():
        log.info("%d of %d images left out by gates.%s", mask.sum(), len(external), gate)
    write_table(snakemake.output.test, stacked({params.name: unseen}))
    write_json(snakemake.output.summary, describe_external(params.name, unseen, external, params.labels, found))
