"""One pool's JSON: every metric for every extractor and reference set, with counts, controls and reasons."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.features import read_features
from radsynth.common.hashing import sha256_pixels
from radsynth.quality.evaluate import evaluate_pool
from radsynth.quality.feature_sets import check_comparable, reference_sets

N_PER_CLASS, N_TRAIN, N_POOL = 220, 20, 12
WIDE = {"name": "wide", "preprocessing": {"name": "none"}, "weights": {"file": "w", "sha256": "abc"}, "dim": 40}
NARROW = {"name": "narrow", "preprocessing": {"name": "none"}, "weights": None, "dim": 3}


def write_npz(path, features, image_ids, extractor, **state):
    features = np.asarray(features, np.float32)
    np.savez(
        path,
        features=features,
        image_id=np.array(image_ids, dtype=str),
        extractor=np.array(json.dumps(extractor)),
        **state,
    )
    return path


class Study:
    """A dataset of two classes, a training cohort, and a pool whose first image repeats a training image."""

    def __init__(self, folder):
        self.folder = folder
        self.random = np.random.default_rng(0)
        labels = ["NORMAL"] * N_PER_CLASS + ["PNEUMONIA"] * N_PER_CLASS
        ids = [f"i{index:03d}" for index in range(len(labels))]
        pixels = self.random.integers(0, 256, (len(ids), 8, 8), dtype=np.uint8)
        self.manifest = pd.DataFrame(
            {"image_id": ids, "label": labels, "patient_id": "", "near_duplicate_group": ""}
        ).assign(sha256=[sha256_pixels(image) for image in pixels])
        self.train = self.manifest.groupby("label").head(N_TRAIN)
        self.pool_pixels = self.random.integers(0, 256, (N_POOL, 8, 8), dtype=np.uint8)
        self.pool_pixels[0] = pixels[N_PER_CLASS]
        self.features = {name: self.random.normal(size=(len(ids), d)) for name, d in (("wide", 40), ("narrow", 3))}
        self.pool = {name: self.random.normal(size=(N_POOL, d)) for name, d in (("wide", 40), ("narrow", 3))}
        for name in self.pool:
            self.pool[name][0] = self.features[name][N_PER_CLASS]

    def evaluate(self, label="PNEUMONIA", draws=3):
        self.manifest.to_csv(self.folder / "manifest.csv", index=False)
        self.train.to_csv(self.folder / "train.csv", index=False)
        pool_folder = self.folder / "pool"
        (pool_folder / "images").mkdir(parents=True, exist_ok=True)
        stems = [f"{index:06d}" for index in range(len(self.pool_pixels))]
        for stem, image in zip(stems, self.pool_pixels, strict=True):
            Image.fromarray(image).save(pool_folder / "images" / f"{stem}.png")
        pd.DataFrame({"file": [f"images/{stem}.png" for stem in stems]}).to_csv(
            pool_folder / "manifest.csv", index=False
        )
        real, pool = [], []
        # The order in a features file need not be the manifest's.
        order = self.random.permutation(len(self.manifest))
        for extractor in (WIDE, NARROW):
            name = extractor["name"]
            ids = self.manifest["image_id"].to_numpy()[order]
            real.append(write_npz(self.folder / f"real_{name}.npz", self.features[name][order], ids, extractor))
            pool.append(write_npz(self.folder / f"pool_{name}.npz", self.pool[name], stems, extractor))
        result = evaluate_pool(
            real,
            pool,
            self.folder / "manifest.csv",
            self.folder / "train.csv",
            pool_folder / "manifest.csv",
            label=label,
            baseline_draws=draws,
            seed=5,
        )
        return json.loads(json.dumps(result, allow_nan=False))


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def find(rows, **wanted):
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1
    return found[0]


def test_every_metric_for_every_extractor_and_reference(study):
    result = study.evaluate()
    rows = result["metrics"]
    assert result["n_synthetic"] == N_POOL and len(rows) == 2 * 2 * 3
    sizes = {"all": N_PER_CLASS, "train": N_TRAIN, "held_out": N_PER_CLASS - N_TRAIN}
    for reference, n in sizes.items():
        for metric in ("fid", "kid"):
            row = find(rows, metric=metric, extractor="narrow", reference=reference)
            assert row["n_reference"] == n and row["n_synthetic"] == N_POOL and row["reason"] == row["note"] == ""
            assert row["value"] is not None and row["real_real_sd"] > 0
    assert find(rows, metric="fid", extractor="narrow", reference="all")["real_real_n"] == [208, 11]
    assert find(rows, metric="fid", extractor="narrow", reference="train")["real_real_n"] == [N_TRAIN, N_POOL]
    wide = find(rows, metric="fid", extractor="wide", reference="all")
    assert wide["weights_sha256"] == "abc" and "dimensions (40)" in wide["note"]
    assert find(rows, metric="kid", extractor="wide", reference="all")["note"] == ""


def test_values_are_those_of_the_class_alone(study):
    before = study.evaluate()["metrics"]
    study.features = {name: values.copy() for name, values in study.features.items()}
    study.features["wide"][:N_PER_CLASS] += 100
    assert study.evaluate()["metrics"] == before
    other = study.evaluate(label="NORMAL")["metrics"]
    assert find(other, metric="fid", extractor="wide", reference="all")["value"] > 1e4


def test_baseline_is_small_when_the_pool_is_far(study):
    study.pool["narrow"] += 3
    row = find(study.evaluate()["metrics"], metric="kid", extractor="narrow", reference="all")
    assert row["value"] > row["real_real_mean"] + 5 * row["real_real_sd"]


def test_the_planted_copy_is_reported_with_its_control(study):
    rates = study.evaluate()["memorisation"]
    assert find(rates, metric="exact_copy_rate")["value"] == pytest.approx(1 / N_POOL)
    assert find(rates, metric="exact_copy_rate")["control"] == 0
    assert find(rates, metric="duplicate_rate")["value"] == 0
    copy = find(rates, metric="copy_rate", extractor="wide")
    assert copy["control"] <= 0.05 and copy["threshold"] > 0
    assert (copy["n_reference"], copy["n_synthetic"], copy["n_control"]) == (N_TRAIN, N_POOL, 100)
    study.pool["wide"][0] += 50  # the planted copy is gone, the rest is as it was
    without = find(study.evaluate()["memorisation"], metric="copy_rate", extractor="wide")
    assert copy["value"] - without["value"] == pytest.approx(1 / N_POOL)


def test_what_is_undefined_is_null_with_its_reason(study):
    study.train = study.manifest.groupby("label").head(N_PER_CLASS - 1)
    study.pool_pixels = study.pool_pixels[:1]
    study.pool = {name: values[:1] for name, values in study.pool.items()}
    result = study.evaluate()
    for row in result["metrics"]:
        assert row["value"] is None and "found 1" in row["reason"] and row["real_real_mean"] is None
    assert find(result["memorisation"], metric="copy_rate", extractor="wide")["value"] == 1
    study.train = study.train.iloc[:0]
    copy = find(study.evaluate()["memorisation"], metric="copy_rate", extractor="wide")
    assert copy["value"] is None and "found 0" in copy["reason"]


def test_no_draws_no_baseline_and_one_draw_no_sd(study):
    row = study.evaluate(draws=0)["metrics"][0]
    assert row["value"] is not None and row["real_real_mean"] is None and row["real_real_n"] is None
    row = study.evaluate(draws=1)["metrics"][0]
    assert row["real_real_mean"] is not None and row["real_real_sd"] is None


def test_held_out_images_share_nothing_known_with_training_images():
    table = pd.DataFrame(
        [
            ("trained", "p1", "g1", "s1"),
            ("same_patient", "p1", "", "s2"),
            ("near_duplicate", "p2", "g1", "s3"),
            ("same_pixels", "p3", "", "s1"),
            ("stranger", "", "", "s4"),
            ("stranger_too", "p4", "g2", "s5"),
        ],
        columns=["image_id", "patient_id", "near_duplicate_group", "sha256"],
    ).assign(label="A")
    sets = reference_sets(table, table.head(1), "A")
    assert list(sets["held_out"]["image_id"]) == ["stranger", "stranger_too"]
    assert len(sets["all"]) == 6 and len(sets["train"]) == 1
    unknown = reference_sets(table.assign(patient_id=""), table.head(1).assign(patient_id=""), "A")
    assert "same_patient" in list(unknown["held_out"]["image_id"])


@pytest.mark.parametrize(
    ("extractor", "state"), [(WIDE | {"weights": None}, {"basis": np.eye(2)}), (WIDE, {"basis": np.ones((2, 2))})]
)
def test_features_that_cannot_be_compared_are_refused(tmp_path, extractor, state):
    real = read_features(write_npz(tmp_path / "real.npz", np.eye(2), ["a", "b"], WIDE, basis=np.eye(2)), float)
    pool = read_features(write_npz(tmp_path / "pool.npz", np.eye(2), ["0", "1"], extractor, **state), float)
    check_comparable(real, real)
    with pytest.raises(UserError, match=r"pool.npz: not made by the same extractor as .*real.npz"):
        check_comparable(real, pool)


def test_features_that_are_missing_or_not_finite_are_named(tmp_path):
    real = read_features(write_npz(tmp_path / "real.npz", np.eye(2), ["a", "b"], WIDE), float)
    np.testing.assert_array_equal(real.of(["b", "a"]), [[0, 1], [1, 0]])
    with pytest.raises(UserError, match=r"real.npz: no features of c \(1 missing\)"):
        real.of(["a", "c"])
    with pytest.raises(UserError, match=r"nan.npz: the features of b are not finite numbers"):
        read_features(write_npz(tmp_path / "nan.npz", [[1.0], [np.nan]], ["a", "b"], WIDE), float)


def test_a_class_that_is_not_there_is_named(study):
    with pytest.raises(UserError, match="manifest.csv: no image of the class COVID"):
        study.evaluate(label="COVID")
