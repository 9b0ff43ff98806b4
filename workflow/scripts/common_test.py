"""Take the images that no sampling of a scenario touches as a test set that all samplings share."""

from radsynth.common.job import job

with job(snakemake):
    import numpy as np
    from radsynth.cohorts.common_images import NAME, common_images, describe_common
    from radsynth.cohorts.elsewhere import check_elsewhere
    from radsynth.cohorts.gates import check_gates
    from radsynth.cohorts.testsets import stacked
    from radsynth.common.features import read_features
    from radsynth.common.files import write_json
    from radsynth.common.tables import read_table, write_table

    given, output, params = snakemake.input, snakemake.output, snakemake.params
    manifest = read_table(given.manifest)
    common, left_out = common_images(manifest, given.seen, params.gates, params.test_split, params.labels)
    for path in output.tests:
        write_table(path, stacked({NAME: common}))
    found = check_gates(given.seen[0], output.tests[:1], given.seen, given.manifest, params.gates, params.test_split)
    found["elsewhere"] = check_elsewhere(output.tests[:1], given.get("repeats", ()), given.manifest, params.gates)
    features = read_features(given.features, np.float32)
    for path in output.summaries:
        write_json(path, describe_common(common, left_out, manifest, features, params.labels, found))
