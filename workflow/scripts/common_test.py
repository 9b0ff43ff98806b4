"""Take the images that no sampling of a scenario touches as a test set that all samplings share."""

from radsynth.common.job import job

with job(snakemake) as log:
    import numpy as np
    from radsynth.cohorts.gates import check_gates
    from radsynth.cohorts.groups import image_groups
    from radsynth.cohorts.scenarios import describe_subset, images_for_testing, untouched
    from radsynth.common.features import read_features
    from radsynth.common.files import write_json
    from radsynth.common.tables import read_table, write_table

    given, params = snakemake.input, snakemake.params
    manifest = read_table(given.manifest)
    used = {image for path in given.seen for image in read_table(path)["image_id"]}
    testable = images_for_testing(manifest, params.test_split)
    common, left_out = untouched(testable, used, image_groups(manifest, params.gates), params.labels)
    for label in params.labels:
        count = int((common["label"] == label).sum())
        log.info("%d images of %s, %d left out because of their group", count, label, left_out[label])
    for path in snakemake.output.tests:
        write_table(path, common)
    found = check_gates(
        given.seen[0], snakemake.output.tests[:1], given.seen, given.manifest, params.gates, params.test_split
    )
    features = read_features(given.features, np.float32)
    summary = {
        "subsets": {
            "common": describe_subset(common, features.of(common["image_id"]), manifest, params.labels),
        },
        "extractor": features.extractor["name"],
        "left_out": left_out,
        "patient_safe": found["patient_safe"],
        "available": {label: int((manifest["label"] == label).sum()) for label in params.labels},
        "overlaps": found["overlaps"],
        "gates": found["gates"],
    }
    for path in snakemake.output.summaries:
        write_json(path, summary)
