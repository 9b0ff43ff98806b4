"""Another dataset as a test set."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.images import read_gray
from radsynth.data.duplicates import near_duplicate_pairs, thumbnail


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
        tables = zip(roots, (external, seen), strict=True)
        thumbnails = [
            thumbnail(read_gray(Path(root) / file, sha256))
            for root, table in tables
            for file, sha256 in zip(table["file"], table["sha256"], strict=True)
        ]
        # Patients of two datasets may have the same name.
        patients = [f"{k} {name}" if name else "" for k, t in enumerate((external, seen)) for name in t["patient_id"]]
        pairs = near_duplicate_pairs(np.stack(thumbnails), patients, split=len(external))
        found["near_duplicates"][pairs[:, 0]] = True
        found["near_duplicates"] &= ~found["pixels"]
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
