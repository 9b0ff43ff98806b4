"""Another dataset as a test set."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from radsynth.cohorts.elsewhere import ACROSS, near_duplicates, read_repeats
from radsynth.common.errors import UserError


def seen_before(
    external: pd.DataFrame, seen: pd.DataFrame, roots: tuple[str | Path, str | Path], gates: dict[str, bool]
) -> dict[str, np.ndarray]:
    """Return, by gate, which images (bool, n) of an external manifest repeat an image of a training or validation set.

    Names of images, patients and near-duplicate groups mean nothing across datasets; ``pixels`` (sha256) and
    ``near_duplicates`` (re-encoded, rescaled, mirrored and the like, see radsynth.data.duplicates) do. A gate that is
    off finds nothing. ``seen`` are the rows of the images that were learnt from, ``roots`` the folders of the external
    and of their own dataset.
    """
    found = {gate: np.zeros(len(external), dtype=bool) for gate in ("pixels", "near_duplicates")}
    if gates["pixels"]:
        found["pixels"] = external["sha256"].isin(seen["sha256"]).to_numpy()
    if gates["near_duplicates"]:
        found["near_duplicates"][near_duplicates(external, seen, roots)[:, 0]] = True
        found["near_duplicates"] &= ~found["pixels"]
    return found


def known_elsewhere(
    external: pd.DataFrame, repeats: Iterable[str | Path], gates: dict[str, bool]
) -> dict[str, np.ndarray]:
    """Return, as ``seen_before``, which images repeat one of another dataset that pools know, from its ``repeats``."""
    known, before = read_repeats(repeats, external, gates), np.zeros(len(external), dtype=bool)
    found = {}
    for gate in ACROSS:
        images = known.loc[known["gate"] == gate, "image_id"] if gates[gate] else []
        found[gate] = external["image_id"].isin(images).to_numpy() & ~before
        before = before | found[gate]
    return found


def unseen_images(external: pd.DataFrame, found: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return the images of an external manifest that no gate has ``found``; UserError if none is left."""
    unseen = external[~np.any(list(found.values()), axis=0)]
    if unseen.empty:
        counts = ", ".join(f"gates.{gate}: {int(mask.sum())}" for gate, mask in found.items())
        raise UserError(
            f"external_test: all {len(external)} images of the external dataset are in the training sets, too "
            f"({counts}); take another dataset, or switch off a gate if these images only look alike"
        )
    return unseen


def describe_external(
    name: str, unseen: pd.DataFrame, external: pd.DataFrame, labels: Iterable[str], found: dict[str, np.ndarray]
) -> dict[str, object]:
    """Return the summary of an external test set: images and patients by label, and how many were left out."""
    description = {}
    for label in labels:
        own = unseen[unseen["label"] == label]
        patients = set(own["patient_id"])
        description[label] = {
            "n_images": len(own),
            "n_patients": None if "" in patients else len(patients),
            "images_per_patient": None,
            "mean_pairwise_distance": None,
        }
    available = external["label"].value_counts()
    return {
        "subsets": {name: description},
        "extractor": None,
        "available": {label: int(available.get(label, 0)) for label in labels},
        "left_out": {label: int(available.get(label, 0)) - description[label]["n_images"] for label in labels},
        "removed": {gate: int(mask.sum()) for gate, mask in found.items()},
        "patient_safe": None,
    }
