"""The test set that all samplings of a scenario share."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from radsynth.cohorts.describing import describe_subset
from radsynth.cohorts.groups import image_groups
from radsynth.cohorts.scenarios import images_for_testing, untouched
from radsynth.common.features import FeatureSet
from radsynth.common.tables import read_table

log = logging.getLogger(__name__)

NAME = "common"


def common_images(
    manifest: pd.DataFrame,
    seen: Sequence[str | Path],
    gates: dict[str, bool],
    test_split: str | None,
    labels: list[str],
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the images that no image of the tables ``seen`` touches, and how many more are left out, by label."""
    used = {image for path in seen for image in read_table(path)["image_id"]}
    testable = images_for_testing(manifest, test_split)
    common, left_out = untouched(testable, used, image_groups(manifest, gates), labels)
    for label in labels:
        count = int((common["label"] == label).sum())
        log.info("%d images of %s, %d left out because of their group", count, label, left_out[label])
    return common, left_out


def describe_common(
    common: pd.DataFrame,
    left_out: dict[str, int],
    manifest: pd.DataFrame,
    features: FeatureSet,
    labels: list[str],
    found: dict[str, Any],
) -> dict[str, Any]:
    """Return the summary of the common test set; ``found`` is what its gates say of it."""
    return {
        "subsets": {NAME: describe_subset(common, features.of(common["image_id"]), manifest, labels)},
        "extractor": features.extractor["name"],
        "left_out": left_out,
        "patient_safe": found["patient_safe"],
        "available": {label: int((manifest["label"] == label).sum()) for label in labels},
        "overlaps": found["overlaps"],
        "elsewhere": found["elsewhere"],
        "gates": found["gates"],
    }
