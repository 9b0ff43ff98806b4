"""One attack on one pool: who is on either side, what the attack is given, and what came of it.

Members are the training images of the pool's label that its makers know. Non-members are the scenario's own test images
of the label, each once. The two differ also by how a sampling has chosen the members, unless it draws at random:
non-members that are withheld at random before any selection will take their place.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.features import read_features
from radsynth.common.images import read_image_stack
from radsynth.common.registry import find
from radsynth.common.schema import read_schema, validated
from radsynth.common.seeds import derive_seed
from radsynth.common.sets import ImageSet
from radsynth.common.tables import read_table
from radsynth.privacy.measure import CHANCE, MIN_PATIENTS, SUPPORT, Success, success
from radsynth.quality.feature_sets import check_comparable
from radsynth.quality.metric import UndefinedError

log = logging.getLogger(__name__)

UNDEFINED = ("auc", "low", "high", "p_value", "tpr", "fpr", "least_auc")


@dataclass(frozen=True)
class Attacked:
    """The files of a pool and of the real images behind it.

    ``pool`` and ``data``: manifests, whose files lie beside them. ``train`` and ``tests``: the cohort that the pool's
    makers have learned from, and its test sets; ``withheld``: a table of those images of it that they do not know, if
    any. What one kind of access alone needs: ``family`` and ``model`` of the generator; ``real_features`` and
    ``pool_features`` by one extractor.
    """

    pool: str | Path
    data: str | Path
    train: str | Path
    tests: str | Path
    withheld: str | Path | None = None
    family: str | None = None
    model: str | Path | None = None
    real_features: str | Path | None = None
    pool_features: str | Path | None = None


def attack_pool(entry: Mapping[str, Any], given: Attacked, *, label: str, seed: int) -> dict[str, Any]:
    """Return what came of the attack ``entry`` of the configuration, as in privacy.schema.yaml.

    UserError for a patient with images on both sides, and for files that do not go together.
    """
    attack = find("attacks", entry["kind"], "attacks").load()({k: v for k, v in entry.items() if k != "kind"})
    members, non_members = sides(given, label)
    patients = patients_of(members), patients_of(non_members)
    report = {
        "kind": entry["kind"],
        "access": attack.access,
        "n_members": len(members),
        "n_non_members": len(non_members),
        "n_member_patients": len(set(patients[0])),
        "n_non_member_patients": len(set(patients[1])),
        "chance": CHANCE,
    }
    try:
        if members.empty or non_members.empty:
            raise UndefinedError(f"{len(members)} members and {len(non_members)} non-members, expected 1 of each")
        read = READ[attack.access](given, members, non_members)
        scores = attack.score(*read, derive_seed(seed, "score"))
        found = success(*scores, *patients, derive_seed(seed, "success"))
        report |= found.described() | {"reason": _missing(found)}
        log.info("AUC %.3f", found.auc)
    except UndefinedError as error:
        report |= dict.fromkeys(UNDEFINED) | {"reason": str(error)}
        log.info("undefined: %s", error)
    return validated(report, read_schema("privacy"), "privacy")


def sides(given: Attacked, label: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the members and of the non-members of a label, with the columns of a manifest."""
    withheld = read_table(given.withheld)["image_id"] if given.withheld else ()
    members, tests = read_table(given.train), read_table(given.tests, ["testset"])
    members = members[(members["label"] == label) & ~members["image_id"].isin(withheld)]
    non_members = tests[tests["label"] == label].drop(columns="testset").drop_duplicates("image_id")
    shared = set(patients_of(members)) & set(patients_of(non_members))
    if shared:
        raise UserError(
            f"{given.tests}: {len(shared)} patients have images of {label} here and among those that the pool is made "
            "from, so that no attack can be judged; expected other patients (gates.patient: true)"
        )
    return members.reset_index(drop=True), non_members.reset_index(drop=True)


def patients_of(images: pd.DataFrame) -> np.ndarray:
    """Return the patient (n,) of each image; the image itself where that is unknown."""
    # The prefixes keep a patient and an image of the same name apart.
    named = "patient " + images["patient_id"]
    return named.where(images["patient_id"] != "", "image " + images["image_id"]).to_numpy(str)


# What an attack of each access is given: target, members, non-members.


def _sets(given: Attacked, *rows: pd.DataFrame) -> list[ImageSet]:
    return [ImageSet.from_rows(side, Path(given.data).parent, given.data) for side in rows]


def _images(given: Attacked, members: pd.DataFrame, non_members: pd.DataFrame) -> list[np.ndarray]:
    pool = read_image_stack(Path(given.pool).parent, read_table(given.pool))
    ours, theirs = (side.images for side in _sets(given, members, non_members))
    if pool.shape[1:] != ours.shape[1:]:
        raise UserError(f"{given.pool}: images of {pool.shape[1:]} pixels and channels, expected {ours.shape[1:]}")
    return [pool, ours, theirs]


def _features(given: Attacked, members: pd.DataFrame, non_members: pd.DataFrame) -> list[np.ndarray]:
    real, pool = (read_features(path, np.float64) for path in (given.real_features, given.pool_features))
    check_comparable(real, pool)
    return [pool.features, *(real.of(list(side["image_id"])) for side in (members, non_members))]


def _model(given: Attacked, members: pd.DataFrame, non_members: pd.DataFrame) -> list[Any]:
    if given.model is None:
        raise UndefinedError("the pool is made without a generator of its own")
    return [find("families", given.family, "family").load().load(given.model), *_sets(given, members, non_members)]


READ = {"images": _images, "features": _features, "model": _model}


def _missing(found: Success) -> str:
    """Return why some of the numbers have no value."""
    sides = f"{found.n_member_patients} and {found.n_non_member_patients}"
    reasons = [
        f"an interval needs {MIN_PATIENTS} patients on either side, found {sides}" if found.low is None else "",
        f"rates need {SUPPORT} non-members, found {found.n_non_members}" if found.tpr is None else "",
    ]
    return "; ".join(filter(None, reasons))
