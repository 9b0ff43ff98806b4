"""Which images a classifier trains on: real ones, synthetic ones, or both; and how many of each label in an epoch."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsynth.cohorts.held_back import held_back_by_image
from radsynth.common.errors import UserError
from radsynth.common.images import read_gray_stack, read_image_stack
from radsynth.common.sets import GRAY
from radsynth.common.tables import read_table

COLUMNS = ["root", "file", "sha256", "label", "image_id", "origin", "subset"]


@dataclass(frozen=True)
class Lesson:
    """What one run of an arm learns from.

    ``images`` as ``mix_images`` returns them; ``validation``, the cohort's rows of its validation images;
    ``epoch_counts``, how many images of each label an epoch has; ``drawn``, whether these are drawn from the training
    images rather than all of them; ``steps``, those of an epoch if they are taken from another mix.
    """

    images: pd.DataFrame
    validation: pd.DataFrame
    epoch_counts: dict[str, int]
    drawn: bool
    steps: int | None


def assemble(
    name: str,
    arm: dict[str, Any],
    cohort: pd.DataFrame,
    apart: pd.DataFrame,
    known: Mapping[str, pd.DataFrame],
    pools: pd.DataFrame,
    root: str | Path,
    labels: list[str],
    *,
    fraction: float | None,
    batch_size: int,
    seed: int,
) -> Lesson:
    """Return what one run of a mix or of a matched control learns from.

    ``arm`` says what it is (``Study.arm``). ``cohort`` and ``apart`` are the training images and the patients kept
    apart from them for validation, ``fraction`` the share of the former that the run holds back instead, if any;
    ``known`` maps scenarios to the training images that a control draws from, ``pools`` comes from ``read_pools``. A
    control has as many images of each label in an epoch as the mix that it matches.
    """
    validation = apart if fraction is None else validation_images(cohort, fraction, seed)
    left = cohort.loc[~cohort["image_id"].isin(validation["image_id"]), "label"]
    real = {label: int((left == label).sum()) for label in labels}
    counts = epoch_counts(arm["mix"], real, arm["augmented"])
    if arm["known"]:
        parts = [known[scenario][known[scenario]["label"] == label] for label, scenario in arm["known"].items()]
        images = control_images(pd.concat(parts), root, apart)
    else:
        images = mix_images(name, arm["mix"], cohort, root, pools, labels, validation, seed)
    steps = None
    if arm["steps_of"]:
        mix, augmented = arm["steps_of"]
        steps = math.ceil(sum(epoch_counts(mix, real, augmented).values()) / batch_size)
    return Lesson(images, validation, counts, bool(arm["known"]), steps)


def read_pools(manifests: Iterable[str | Path], generators: Iterable[str]) -> pd.DataFrame:
    """Return the images of the pools in order: COLUMNS without ``subset``, ``generator``, and what manifests say more.

    ``generators`` names the maker of each pool. Files are relative to their manifest's folder; a synthetic image's id
    is ``generator/label/index``, its patient is no one.
    """
    pools = [pd.DataFrame(columns=[*COLUMNS[:-1], "patient_id", "generator"])]
    for path, generator in zip(map(Path, manifests), generators, strict=True):
        pool = read_table(path)
        ids = generator + "/" + pool["label"] + "/" + pool["index"].str.zfill(6)
        made = pool.assign(image_id=ids, origin="synthetic", patient_id="")
        pools.append(made.assign(root=str(path.parent), generator=generator))
    return pd.concat(pools, ignore_index=True)


def read_tests(
    tables: Iterable[str | Path], folders: Iterable[str | Path], testsets: Iterable[str]
) -> dict[str, pd.DataFrame]:
    """Return the rows of test sets by name, with the ``root`` of their files; a set without an image has no row.

    ``tables`` tell the sets apart in the column ``testset``, ``folders`` are the image folders of each.
    """
    read = [
        read_table(path).assign(root=str(Path(folder).parent)) for path, folder in zip(tables, folders, strict=True)
    ]
    images = pd.concat(read, ignore_index=True)
    return {name: images[images["testset"] == name] for name in testsets}


def read_pixels(images: pd.DataFrame) -> np.ndarray:
    """Return the pixels, uint8 (n, height, width, channels), of rows with ``root``, ``file`` and ``sha256``.

    Where ``channels`` (of pools; real images are gray) differ, all are taken as gray ones.
    """
    files = images.assign(file=images["root"] + "/" + images["file"])
    if "channels" in images and images["channels"].fillna("").replace("", " ".join(GRAY)).nunique() > 1:
        return read_gray_stack(".", files)[..., np.newaxis]
    return read_image_stack(".", files)


def validation_images(train: pd.DataFrame, fraction: float, seed: int) -> pd.DataFrame:
    """Return the rows of the images that one run holds back by image: ``fraction`` of each label, at least one.

    Depends on the images, not on their order, and never on the mix: run r of every mix has the same ones.
    """
    ids: set[str] = set()
    for label, images in train.groupby("label"):
        rng = np.random.default_rng([seed, *label.encode()])
        count = held_back_by_image(len(images), fraction)
        ids.update(rng.permutation(np.sort(images["image_id"].to_numpy(str)))[:count].tolist())
    return train[train["image_id"].isin(ids)]


def mix_images(
    name: str,
    mix: dict[str, Any],
    train: pd.DataFrame,
    root: str | Path,
    pools: pd.DataFrame,
    labels: list[str],
    validation: pd.DataFrame,
    seed: int,
) -> pd.DataFrame:
    """Return the images of one run of a mix: ``subset`` is "train" or "validation", ``origin`` real or synthetic.

    Beside COLUMNS they have all that their manifests say, "" where one does not say it.

    ``mix`` is ``{real: bool, pools: {generator: n}}``, maybe with ``balance: oversample``: with ``real``, the images of
    ``train`` that are not in ``validation``; from each pool given (one per augmented label) the first n images; with
    ``oversample``, images of the rarer labels again, drawn with replacement, until all labels are as frequent.
    Validation images are always real; there may be none. ``train`` and ``validation`` are manifests (files relative to
    ``root``), ``pools`` comes from ``read_pools``. UserError if a pool holds fewer than n images or a label has no
    training image.
    """
    kept = train[~train["image_id"].isin(validation["image_id"])]
    parts = [_real(validation, root, "validation")]
    if mix["real"]:
        parts.insert(0, _real(kept, root, "train"))
    for generator, count in mix["pools"].items():
        key = f"mixes.{name}.pools.{generator}"
        of_generator = pools[pools["generator"] == generator]
        if of_generator.empty:
            raise UserError(f"{key}: no pool of this generator was given, expected one per augmented label")
        for label, pool in of_generator.groupby("label", sort=False):
            if len(pool) < count:
                raise UserError(f"{key}: {count} images asked for, the pool of {label} holds {len(pool)}")
            parts.append(pool.head(count).assign(subset="train"))
    images = _joined(parts)
    counts = images.loc[images["subset"] == "train", "label"].value_counts()
    for label in labels:
        if label not in counts:
            raise UserError(f"mixes.{name}: no training image of {label}, expected at least one of each label")
    return _oversample(images, counts.to_dict(), seed) if mix.get("balance") == "oversample" else images


def control_images(known: pd.DataFrame, root: str | Path, validation: pd.DataFrame) -> pd.DataFrame:
    """Return the images of one run of a matched control, as ``mix_images`` does.

    ``known`` are all real images that its mix has learnt from, directly or through a generator. ``validation`` holds
    the images that are apart from both, if any: those that a run draws from the generators' images are no such.
    """
    return _joined([_real(known, root, "train"), _real(validation, root, "validation")])


def _real(images: pd.DataFrame, root: str | Path, subset: str) -> pd.DataFrame:
    return images.assign(root=str(root), origin="real", subset=subset)


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    images = pd.concat(parts, ignore_index=True).fillna("")
    return images[[*COLUMNS, *(column for column in images if column not in COLUMNS)]]


def _oversample(images: pd.DataFrame, counts: Mapping[str, int], seed: int) -> pd.DataFrame:
    parts, most = [images], max(counts.values())
    for label, count in counts.items():
        own = images[(images["subset"] == "train") & (images["label"] == label)]
        rng = np.random.default_rng([seed, *b"oversample", *label.encode()])
        parts.append(own.iloc[rng.integers(len(own), size=most - count)])
    return pd.concat(parts, ignore_index=True)


def epoch_counts(mix: dict[str, Any], real: Mapping[str, int], augmented: Iterable[str]) -> dict[str, int]:
    """Return how many images of each label ``mix_images`` gives a mix to train on: those of one epoch.

    ``real`` counts the real training images of every label, without those of the validation; ``augmented`` names the
    labels whose pools the mix adds.
    """
    counts = {label: count if mix["real"] else 0 for label, count in real.items()}
    for label in augmented:
        counts[label] += sum(mix["pools"].values())
    return dict.fromkeys(counts, max(counts.values())) if mix.get("balance") == "oversample" else counts


def count_images(images: pd.DataFrame, labels: list[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Return the number of images as {subset: {origin: {label: n}}}, without zeros, labels in the order given."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for (subset, origin), rows in images.groupby(["subset", "origin"]):
        found = rows["label"].value_counts()
        counts.setdefault(subset, {})[origin] = {label: int(found[label]) for label in labels if label in found}
    return counts
