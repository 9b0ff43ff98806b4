"""Conditions of a pool from its files: what was asked, which images are compared, and what the script writes."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.features import write_features
from radsynth.common.files import read_json
from radsynth.common.hashing import sha256_pixels
from radsynth.common.schema import read_schema
from radsynth.fidelity.asked_lesions import placed
from radsynth.fidelity.condition_fidelity import condition_fidelity
from radsynth.fidelity.condition_verdicts import AS_REAL, EMPTY, NOT_TOLD
from radsynth.quality.feature_sets import groups_of

SIDE, EXTRACTOR = 16, {"name": "four", "preprocessing": None, "weights": None, "dim": 3}
LABELS = ["BENIGN", "SUSPICIOUS"]
BOX = (4, 4, 8, 8)  # x0, y0, x1, y1 of the lesions of real images, moved by up to 4


def lesion_box(random):
    x, y = random.integers(0, 5, 2)
    return [int(BOX[0] + x), int(BOX[1] + y), int(BOX[2] + x), int(BOX[3] + y)]


def draw(random, n, boxes, added=60):
    """Return images, brighter in their boxes (pixels)."""
    images = random.normal(100, 15, (n, SIDE, SIDE))
    for image, own in zip(images, boxes, strict=True):
        for x0, y0, x1, y1 in own or []:
            image[y0:y1, x0:x1] += added
    return np.clip(images, 0, 255).astype(np.uint8)


def save(folder, images, names):
    """Write images, return their columns of a manifest."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    files = [f"images/{name}.png" for name in names]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(folder / file)
    return {"file": files, "sha256": [sha256_pixels(image) for image in images]}


class Place:
    """A data set with view and boxes, a cohort, and a pool of two labels that heeds its conditions, in files."""

    def __init__(self, folder, n_real=240, n_pool=60):
        self.folder, self.random = folder, np.random.default_rng(0)
        random, n = self.random, n_real
        label = np.array(LABELS)[np.arange(n) % 2]
        view = np.array(["CC", "MLO"])[random.integers(0, 2, n)]
        boxes = [[lesion_box(random)] if name == LABELS[1] else [] for name in label]
        names = [f"r{k}" for k in range(n)]
        self.manifest = pd.DataFrame(
            {
                "image_id": names,
                **save(folder / "data", draw(random, n, boxes), names),
                "label": label,
                "patient_id": [f"p{k // 2}" for k in range(n)],
                "near_duplicate_group": "",
                "mask_file": "",
                "mask_sha256": "",
                "view": view,
                "boxes": [json.dumps([[*map(float, box), "Mass"] for box in own]) for own in boxes],
            }
        )
        self.real = self.features(label, view)
        self.train = self.manifest.head(n // 2)
        self.pools = {name: self.pool(name, n_pool) for name in LABELS}

    def features(self, label, view):
        found = self.random.normal(size=(len(label), 3))
        found[:, 0] += 2.5 * (np.asarray(label) == LABELS[1])
        found[:, 1] += 2.5 * (np.asarray(view) == "MLO")
        return found

    def pool(self, label, n):
        view = np.array(["CC", "MLO"])[self.random.integers(0, 2, n)]
        boxes = [[lesion_box(self.random)] if label == LABELS[1] else [] for _ in range(n)]
        images = draw(self.random, n, boxes)
        asked = [
            {"label": label, "attributes": {"view": name}, "boxes": [[edge / SIDE for edge in box] for box in own]}
            for name, own in zip(view, boxes, strict=True)
        ]
        return {"images": images, "asked": asked, "features": self.features([label] * n, view), "more": {}}

    def write(self):
        """Write all files; return the arguments of ``condition_fidelity``."""
        folder = self.folder
        self.manifest.to_csv(folder / "data/manifest.csv", index=False)
        self.train.to_csv(folder / "train.csv", index=False)
        write_features(folder / "real.npz", list(self.manifest["image_id"]), self.real, EXTRACTOR, {})
        for label, pool in self.pools.items():
            names = [f"{k:06d}" for k in range(len(pool["images"]))]
            table = pd.DataFrame({**save(folder / label, pool["images"], names), "label": label})
            table = table.assign(**{"mask_file": "", "mask_sha256": "", **pool["more"]})
            table.assign(condition=[json.dumps(asked) for asked in pool["asked"]]).to_csv(
                folder / label / "manifest.csv", index=False
            )
            write_features(folder / f"{label}.npz", names, pool["features"], EXTRACTOR, {})
        pools = [str(folder / f"{label}.npz") for label in self.pools]
        manifests = [str(folder / label / "manifest.csv") for label in self.pools]
        return [
            str(folder / "real.npz"),
            pools,
            str(folder / "data/manifest.csv"),
            str(folder / "train.csv"),
            manifests,
        ]

    def measure(self, seed=1):
        return condition_fidelity(*self.write(), seed=seed, draws=200)

    def conditions(self):
        return {row["asked"]: row for row in self.measure()["conditions"]}


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_all_conditions_of_a_pool_that_heeds_them(place):
    report = place.measure()
    assert report == place.measure() and report != place.measure(2), "by the seed alone"
    assert (report["extractor"], report["guidance"], report["n_synthetic"]) == ("four", "", 120)
    found = {row["asked"]: row for row in report["conditions"]}
    assert list(found) == ["label", "view", "lesion", "no_lesion"]
    assert {row["verdict"] for row in found.values()} == {AS_REAL}, found
    assert [found[name]["n"] for name in found] == [120, 120, 60, 60]
    assert [found[name]["n_real"] for name in found] == [120, 120, 60, 60]
    assert [found[name]["n_real_groups"] for name in found] == [60] * 4, "held-out patients; one lesion of each"
    assert found["label"]["chance"] == pytest.approx(0.5, abs=0.01) and found["label"]["value"] > 0.8
    assert found["lesion"]["value"] == pytest.approx(60, abs=5) and abs(found["no_lesion"]["value"]) < 3
    assert abs(found["lesion"]["ratio"] - 1) < 0.1 and found["no_lesion"]["chance"] is None


def test_the_script_writes_what_the_schema_asks_for(place, run_script):
    for pool in place.pools.values():
        pool["more"] = {"guidance": "3.0"}
    real, pool, manifest, train, manifests = place.write()
    inputs = {"real": real, "pool": pool, "data_manifest": manifest, "train": train, "pool_manifests": manifests}
    output = place.folder / "fidelity/ddpm.json"
    run_script("condition_fidelity", inputs, {"json": str(output)}, seed=1)
    found, schema = read_json(output), read_schema("fidelity")
    assert set(found) == set(schema["required"]) == set(schema["properties"]) and found["guidance"] == "3.0"
    row = schema["properties"]["conditions"]["items"]
    assert set(EMPTY) == set(row["required"]) == set(row["properties"])
    assert [list(one) for one in found["conditions"]] == [list(EMPTY)] * 4


def test_a_pool_that_was_given_conditions_that_it_does_not_heed(place):
    for pool in place.pools.values():
        views = [asked["attributes"] for asked in pool["asked"]]
        for asked, other in zip(pool["asked"], place.random.permutation(np.array(views, dtype=object)), strict=True):
            asked["attributes"] = other
        pool["images"] = draw(place.random, 60, [[]] * 60)
    found = place.conditions()
    assert found["label"]["verdict"] == AS_REAL, "the features are as before"
    assert (
        found["view"]["verdict"] == found["lesion"]["verdict"] == NOT_TOLD and found["no_lesion"]["verdict"] == AS_REAL
    )


def test_nothing_is_said_of_what_was_not_asked(place):
    pool = place.pools.pop(LABELS[0])
    for asked in place.pools[LABELS[1]]["asked"]:
        del asked["boxes"]
        asked["attributes"] = {"view": "", "density": None}
    assert place.measure()["conditions"] == []
    place.pools = {LABELS[0]: pool | {"asked": [{"label": LABELS[0]}] * 60}}
    assert place.measure()["conditions"] == []
    place.pools = {
        LABELS[0]: pool | {"asked": [{"label": LABELS[0], "attributes": {"age": 50 + k}} for k in range(60)]}
    }
    (row,) = place.measure()["conditions"]
    assert (row["asked"], row["verdict"], row["reason"]) == ("age", "", "no training image tells it")


def test_images_of_a_patient_with_a_training_image_of_another_label_are_not_held_out(place):
    """Two images of each patient have different labels, of which one may be in the cohort and the other not."""
    place.train = place.manifest[(place.manifest["label"] == LABELS[0]) & (place.manifest.index < 120)]
    found = place.conditions()
    assert found["label"]["reason"].startswith(
        "BENIGN 60 training patients, 60 held-out patients, 60 images of the pool"
    )
    assert found["view"]["n_real"] == 120 and found["view"]["n_real_groups"] == 60, "not the 60 others of the cohort's"


def test_held_out_images_are_of_the_labels_of_the_pool(place):
    place.pools = {LABELS[1]: place.pools[LABELS[1]]}
    found = place.conditions()
    assert found["view"]["n_real"] == 60 and "label" not in found and "no_lesion" not in found


def test_lesions_by_masks_where_no_box_was_asked(place):
    pool = place.pools[LABELS[1]]
    (place.folder / LABELS[1]).mkdir()
    masks = np.zeros((60, SIDE, SIDE), np.uint8)
    for mask, asked in zip(masks, pool["asked"], strict=True):
        (x0, y0, x1, y1) = (round(edge * SIDE) for edge in asked.pop("boxes")[0])
        mask[1:-1, 1:-1], mask[y0:y1, x0:x1] = 1, 2
    for asked in place.pools[LABELS[0]]["asked"]:
        del asked["boxes"]
    files = [f"masks/{k}.png" for k in range(60)]
    (place.folder / LABELS[1] / "masks").mkdir()
    for file, mask in zip(files, masks, strict=True):
        Image.fromarray(mask).save(place.folder / LABELS[1] / file)
    pool["more"] = {"mask_file": files, "mask_sha256": [sha256_pixels(mask) for mask in masks]}
    found = place.conditions()
    assert "no_lesion" not in found, "nobody asked for none"
    assert found["lesion"]["verdict"] == AS_REAL and found["lesion"]["n"] == 60
    assert found["lesion"]["value"] == pytest.approx(60, abs=5)


def test_what_is_known_of_lesions_is_that_of_boxes_or_masks(place):
    place.write()
    table = place.manifest.head(6).assign(
        file=[str(place.folder / "data" / file) for file in place.manifest["file"][:6]]
    )
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[3, 3:7] = mask[3:7, 3] = 2
    Image.fromarray(mask).save(place.folder / "mask.png")
    table = table.assign(
        boxes=[[[0, 0, 4, 4, "Mass"]], [], None, None, [[0, 0, SIDE, SIDE]], [[0, 0, 4, 4]]],
        mask_file=["", "", str(place.folder / "mask.png"), "", "", str(place.folder / "mask.png")],
        mask_sha256=sha256_pixels(mask),
    )
    found = placed(table, groups_of(table), boxed=True, in_pixels=True)
    areas = [None if place is None else int(place[0].sum()) for place in found.places]
    assert areas == [16, None, 16, 16], "unknown ones and those that fill the image are left out"
    assert list(found.groups) == [0, 0, 1, 2] and list(found.strata) == [LABELS[k] for k in (0, 1, 0, 1)]
    by_masks = placed(table, groups_of(table), boxed=False, in_pixels=True)
    assert [place and int(place[0].sum()) for place in by_masks.places] == [16, None, 7, 7]


def test_files_that_do_not_go_together_are_refused_in_one_line(place):
    real, pool, manifest, train, manifests = place.write()
    with pytest.raises(UserError, match="features of 60 images, expected 120"):
        condition_fidelity(real, pool[:1], manifest, train, manifests, seed=1)
    pd.read_csv(manifests[0]).assign(condition="[1]").to_csv(manifests[0], index=False)
    with pytest.raises(UserError, match=r"manifest.csv: column condition holds something else than JSON mappings"):
        condition_fidelity(real, pool, manifest, train, manifests, seed=1)
    other = dict(EXTRACTOR, name="five")
    write_features(pool[0], [f"{k:06d}" for k in range(60)], place.pools[LABELS[0]]["features"], other, {})
    with pytest.raises(UserError, match="not made by the same extractor"):
        condition_fidelity(real, pool, manifest, train, manifests, seed=1)


def test_pools_of_another_size_are_refused(place):
    for pool in place.pools.values():
        pool["images"] = pool["images"][:, :8, :8]
    with pytest.raises(UserError, match=r"image of \(8, 8\) pixels, expected \(16, 16\)"):
        place.measure()
