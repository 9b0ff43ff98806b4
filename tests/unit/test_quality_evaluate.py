"""One pool's JSON: every metric for every extractor and reference set, with counts, controls and reasons."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.features import read_features
from radsynth.common.files import write_json
from radsynth.common.hashing import sha256_pixels
from radsynth.quality import kernel
from radsynth.quality.controls import quality_controls
from radsynth.quality.copies import c_t
from radsynth.quality.evaluate import evaluate_pool
from radsynth.quality.feature_sets import check_comparable, halves, reference_sets
from radsynth.quality.metric import EMPTY

N_PER_CLASS, N_TRAIN, N_POOL, SIDE = 220, 20, 12, 16
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


PAIR_METRICS = {
    "ms_ssim": {"preprocessing": {"scales": 5}, "weights": None},
    "lpips": {"preprocessing": {"net": "alex"}, "weights": {"file": "w", "sha256": "def"}},
}


def write_pairs(path, mean, seed, metrics=("ms_ssim", "lpips")):
    generator = np.random.default_rng(seed)
    values = {metric: generator.normal(mean, 0.1, 40).astype(np.float32) for metric in metrics}
    about = json.dumps({metric: PAIR_METRICS[metric] for metric in metrics})
    np.savez(path, pairs=generator.integers(0, N_POOL, (40, 2)), about=np.array(about), **values)
    return path


class Study:
    """A dataset of two classes, a training cohort, and a pool whose first image repeats a training image."""

    def __init__(self, folder):
        self.folder = folder
        self.random = np.random.default_rng(0)
        labels = ["NORMAL"] * N_PER_CLASS + ["PNEUMONIA"] * N_PER_CLASS
        ids = [f"i{index:03d}" for index in range(len(labels))]
        self.pixels = self.random.integers(0, 256, (len(ids), SIDE, SIDE), dtype=np.uint8)
        self.manifest = pd.DataFrame(
            {"image_id": ids, "label": labels, "patient_id": "", "near_duplicate_group": ""}
        ).assign(
            sha256=[sha256_pixels(image) for image in self.pixels],
            file=[f"images/{image_id}.png" for image_id in ids],
        )
        self.train = self.manifest.groupby("label").head(N_TRAIN)
        self.pool_pixels = self.random.integers(0, 256, (N_POOL, SIDE, SIDE), dtype=np.uint8)
        self.pool_pixels[0] = self.pixels[N_PER_CLASS]
        self.features = {name: self.random.normal(size=(len(ids), d)) for name, d in (("wide", 40), ("narrow", 3))}
        self.pool = {name: self.random.normal(size=(N_POOL, d)) for name, d in (("wide", 40), ("narrow", 3))}
        for name in self.pool:
            self.pool[name][0] = self.features[name][N_PER_CLASS]
        self.logits = {}
        self.pairs = self.pool_pairs = self.withheld = None
        for image_id, image in zip(ids, self.pixels, strict=True):
            self.save(folder / "data/images", image_id, image)

    @staticmethod
    def save(folder, name, image):
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{name}.png")

    def measure_controls(self, label="PNEUMONIA", draws=3, pool_size=None):
        data = self.folder / "data"
        self.manifest.to_csv(data / "manifest.csv", index=False)
        self.train.to_csv(self.folder / "train.csv", index=False)
        # The order in a features file need not be the manifest's.
        order = self.random.permutation(len(self.manifest))
        ids = self.manifest["image_id"].to_numpy()[order]
        self.real = [
            write_npz(self.folder / f"real_{kind['name']}.npz", self.features[kind["name"]][order], ids, kind)
            for kind in (WIDE, NARROW)
        ]
        controls, reals = quality_controls(
            self.real,
            data / "manifest.csv",
            self.folder / "train.csv",
            self.pairs,
            self.withheld,
            label=label,
            pool_size=len(self.pool_pixels) if pool_size is None else pool_size,
            baseline_draws=draws,
            seed=4,
        )
        write_json(self.folder / "controls.json", controls)
        np.savez(self.folder / "reals.npz", **reals)
        return controls

    def evaluate(self, label="PNEUMONIA", score=False, **options):
        self.measure_controls(label, **options)
        pool_folder = self.folder / "pool"
        stems = [f"{index:06d}" for index in range(len(self.pool_pixels))]
        for stem, image in zip(stems, self.pool_pixels, strict=True):
            self.save(pool_folder / "images", stem, image)
        files = [f"images/{stem}.png" for stem in stems]
        sums = [sha256_pixels(image) for image in self.pool_pixels]
        pd.DataFrame({"file": files, "sha256": sums}).to_csv(pool_folder / "manifest.csv", index=False)
        pool = [
            write_npz(self.folder / f"pool_{name}.npz", self.pool[name], stems, kind, **self.logits)
            for name, kind in (("wide", WIDE), ("narrow", NARROW))
        ]
        result, nearest = evaluate_pool(
            self.real,
            pool,
            self.folder / "data/manifest.csv",
            self.folder / "train.csv",
            pool_folder / "manifest.csv",
            self.folder / "controls.json",
            self.folder / "reals.npz",
            self.pool_pairs,
            self.withheld,
            label=label,
            seed=5,
            score=score,
        )
        return json.loads(json.dumps(result, allow_nan=False)), nearest

    def rows(self, **options):
        return self.evaluate(**options)[0]["metrics"]


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def find(rows, **wanted):
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1
    return found[0]


def test_every_metric_for_every_extractor_and_reference(study):
    result, _ = study.evaluate()
    rows = result["metrics"]
    between = ["fid", "kid", "kid_subsets", "precision", "recall", "density", "coverage"]
    copied = ["authpct", "c_t", "dcr_median", "dcr_share", "dcr_tail", "copy_rate", "nearest_copy"]
    on_images = ["mse", "psnr", "ssim", "view_copy_rate", "hash_copy_rate", "view_nearest_copy", "exact_copy_rate"]
    inside = ["duplicate_rate", "constant_rate"]
    expected = [(m, e, r) for e in ("wide", "narrow") for r in ("all", "train", "held_out") for m in between]
    expected += [(m, e, "train") for e in ("wide", "narrow") for m in copied]
    expected += [(m, None, "train") for m in on_images] + [(m, None, "") for m in inside]
    assert result["n_synthetic"] == N_POOL
    assert sorted((r["metric"], str(r["extractor"]), r["reference"]) for r in rows) == sorted(
        (m, str(e), r) for m, e, r in expected
    )
    sizes = {"all": N_PER_CLASS, "train": N_TRAIN, "held_out": N_PER_CLASS - N_TRAIN, "": None}
    for row in rows:
        assert list(row) == list(EMPTY)
        assert row["n_synthetic"] == N_POOL and row["n_reference"] == sizes[row["reference"]]
        if row["metric"] != "psnr":
            assert row["reason"] == "" and row["value"] is not None and row["control"] is not None, row
        real_real = row["family"] in ("distance", "manifold")
        assert row["control_is"] == ("real_real" if real_real else "held_out")
        assert (row["extractor"] is None) == (row["preprocessing"] is None)
    assert "1 images equal a training image" in find(rows, metric="psnr")["reason"]


def test_controls_name_their_sizes_and_thresholds(study):
    rows = study.rows()
    fid = find(rows, metric="fid", extractor="narrow", reference="all")
    assert (fid["n_control_a"], fid["n_control_b"]) == (208, 11) and fid["control_sd"] > 0
    fid = find(rows, metric="fid", extractor="narrow", reference="train")
    assert (fid["n_control_a"], fid["n_control_b"]) == (N_TRAIN, N_POOL) and fid["note"] == ""
    wide = find(rows, metric="fid", extractor="wide", reference="all")
    assert wide["weights_sha256"] == "abc" and "dimensions (40)" in wide["note"]
    kid = find(rows, metric="kid", extractor="wide", reference="all")
    assert kid["note"] == "" and kid["low"] < kid["value"] < kid["high"]
    assert find(rows, metric="kid_subsets", extractor="wide", reference="all")["sd"] > 0
    for metric in ("copy_rate", "dcr_tail"):
        row = find(rows, metric=metric, extractor="wide")
        assert (row["n_control_a"], row["n_control_b"]) == (100, 100) and row["threshold"] > 0
    assert find(rows, metric="view_copy_rate")["threshold"] > 0
    assert find(rows, metric="ssim")["control_sd"] > 0


def test_pool_and_control_are_compared_with_the_same_half_of_the_held_out_images(study):
    """One half stands in for the pool, the other is what both are compared with."""
    row = find(study.rows(), metric="c_t", extractor="narrow")
    own, pool = (values["narrow"].astype(np.float32).astype(float) for values in (study.features, study.pool))
    train, held_out = own[N_PER_CLASS : N_PER_CLASS + N_TRAIN], own[N_PER_CLASS + N_TRAIN :]
    nearest = [np.linalg.norm(x[:, None] - train, axis=2).min(axis=1) for x in (pool, held_out[::2], held_out[1::2])]
    assert row["value"] == pytest.approx(c_t(nearest[0], nearest[1]))
    assert row["control"] == pytest.approx(c_t(nearest[2], nearest[1]))


def test_values_are_those_of_the_class_alone(study):
    before = study.rows()
    study.features = {name: values.copy() for name, values in study.features.items()}
    study.features["wide"][:N_PER_CLASS] += 100
    assert study.rows() == before
    other = study.rows(label="NORMAL")
    assert find(other, metric="fid", extractor="wide", reference="all")["value"] > 1e4


def test_images_of_one_patient_never_stand_on_both_sides_of_the_control(study):
    """Every patient has two images that are the same but for noise: on both sides they would look like copies."""
    for values in study.features.values():
        values[1::2] = values[::2] + study.random.normal(scale=1e-3, size=values[::2].shape)
    study.manifest["patient_id"] = [f"p{index // 2}" for index in range(2 * N_PER_CLASS)]
    study.train = study.manifest.groupby("label").head(N_TRAIN)
    controls = study.measure_controls(pool_size=N_PER_CLASS, draws=10)["controls"]
    kid = find(controls, metric="kid", extractor="narrow", reference="all")
    assert (kid["n_control_a"], kid["n_control_b"]) == (109, 109)
    precision = find(controls, metric="precision", extractor="wide", reference="all")
    assert precision["control"] < 0.65


def test_the_control_does_not_know_the_pool(study):
    study.pool["narrow"] += 3
    row = find(study.rows(), metric="kid", extractor="narrow", reference="all")
    assert row["value"] > row["control"] + 5 * row["control_sd"] and row["low"] > row["control"]


def test_the_planted_copy_is_reported_with_its_control(study):
    rows = study.rows()
    exact = find(rows, metric="exact_copy_rate")
    assert exact["value"] == pytest.approx(1 / N_POOL) and exact["control"] == 0
    assert find(rows, metric="duplicate_rate")["value"] == find(rows, metric="constant_rate")["value"] == 0
    copy = find(rows, metric="copy_rate", extractor="wide")
    assert copy["control"] <= 0.05 and copy["threshold"] > 0
    study.pool["wide"][0] += 50  # the planted copy is gone, the rest is as it was
    without = find(study.rows(), metric="copy_rate", extractor="wide")
    assert copy["value"] - without["value"] == pytest.approx(1 / N_POOL)


def test_a_single_copy_is_judged_by_itself_and_named(study):
    """One copy of a training image moves no share of this pool, yet is nearer than any held-out image: it is listed."""
    result, nearest = study.evaluate()
    row = find(result["metrics"], metric="nearest_copy", extractor="narrow")
    held_out = N_PER_CLASS - N_TRAIN
    assert row["value"] == 0 < row["control"] < row["tail_limit"] and row["n_control_a"] == row["tail_n"] == held_out
    found = [(suspect["file"], suspect["metric"], suspect["extractor"]) for suspect in result["suspects"]]
    copy = "images/000000.png"
    assert {found[0][0], found[1][0]} == {copy} and ("nearest_copy", "wide") in {names[1:] for names in found}
    assert {suspect["nearest_image_id"] for suspect in result["suspects"]} == {f"i{N_PER_CLASS:03d}"}
    assert all(suspect["chance"] * N_POOL < 0.05 for suspect in result["suspects"])
    assert list(nearest.loc[nearest["chance"].notna(), "file"]) == [copy]
    study.pool["wide"][0] += 50
    assert ("nearest_copy", "wide") not in {
        (suspect["metric"], suspect["extractor"]) for suspect in study.evaluate()[0]["suspects"]
    }


def test_images_of_one_patient_count_once_in_the_calibration(study):
    study.manifest["patient_id"] = [f"p{index // 10}" for index in range(2 * N_PER_CLASS)]
    study.train = study.manifest.groupby("label").head(N_TRAIN)
    row = find(study.rows(), metric="nearest_copy", extractor="narrow")
    assert row["tail_n"] == (N_PER_CLASS - N_TRAIN) // 10 and row["n_control_a"] == N_PER_CLASS - N_TRAIN
    study.manifest["patient_id"] = [f"p{index // 50}" for index in range(2 * N_PER_CLASS)]
    study.train = study.manifest.groupby("label").head(N_TRAIN)
    row = find(study.rows(), metric="nearest_copy", extractor="narrow")
    assert row["tail_n"] is None and "needs held-out images of at least 10 patients, found" in row["note"]


def test_images_withheld_from_the_generator_are_not_its_training_images(study):
    """The planted copy repeats an image that was withheld: the generator cannot have learnt it by heart."""
    study.withheld = study.folder / "withheld.csv"
    study.train[study.train["label"] == "PNEUMONIA"].head(4)[["image_id", "label"]].to_csv(study.withheld, index=False)
    result, nearest = study.evaluate()
    rows = result["metrics"]
    assert find(rows, metric="exact_copy_rate")["value"] == 0
    assert not set(nearest["nearest_image_id"]) & {f"i{N_PER_CLASS + k:03d}" for k in range(4)}
    sizes = {"all": N_PER_CLASS, "train": N_TRAIN - 4, "held_out": N_PER_CLASS - N_TRAIN}
    for reference, n in sizes.items():
        kid = find(rows, metric="kid", extractor="wide", reference=reference)
        assert kid["n_reference"] == n
    assert kid["control"] is not None and find(rows, metric="fid", extractor="wide", reference="train")[
        "n_control_a"
    ] == (N_TRAIN - 4)


def test_nearest_training_images_are_listed(study):
    study.pool["narrow"][0] += 1  # the table is in the features of the first extractor
    _, nearest = study.evaluate()
    ids = ["nearest_image_id", "distance", "relative_distance", "view_nearest_image_id", "view_relative_distance"]
    assert list(nearest) == ["file", *ids, "chance"]
    assert len(nearest) == N_POOL
    copy, other = nearest.iloc[0], nearest.iloc[3]
    assert copy["file"] == "images/000000.png" and copy["nearest_image_id"] == f"i{N_PER_CLASS:03d}"
    assert copy["distance"] == copy["relative_distance"] == 0
    assert copy["view_relative_distance"] == pytest.approx(0, abs=2e-3)
    assert copy["view_nearest_image_id"] == f"i{N_PER_CLASS:03d}"
    train = study.features["wide"][N_PER_CLASS : N_PER_CLASS + N_TRAIN].astype(np.float32)
    distances = np.linalg.norm(train - study.pool["wide"][3].astype(np.float32), axis=1)
    assert other["distance"] == pytest.approx(distances.min(), rel=1e-5)
    assert other["relative_distance"] == pytest.approx(distances.min() / distances.mean(), rel=1e-5)
    assert other["nearest_image_id"] == f"i{N_PER_CLASS + distances.argmin():03d}"


def test_the_typical_distance_is_that_between_training_images(study):
    train = study.features["narrow"][N_PER_CLASS : N_PER_CLASS + N_TRAIN].astype(np.float32)
    distances = np.linalg.norm(train[:, None] - train, axis=2) + np.diag([np.inf] * N_TRAIN)
    typical = study.measure_controls()["typical_distance"]
    assert set(typical) == {"wide", "narrow"}
    assert typical["narrow"] == pytest.approx(np.median(distances.min(axis=1)), rel=1e-5)


def test_diversity_stands_beside_pairs_of_training_images(study):
    study.pairs = write_pairs(study.folder / "real_pairs.npz", 0.3, seed=1)
    study.pool_pairs = write_pairs(study.folder / "pool_pairs.npz", 0.8, seed=2)
    rows = study.rows()
    row = find(rows, metric="ms_ssim")
    assert row["value"] == pytest.approx(0.8, abs=0.05) and row["low"] < row["value"] < row["high"] and row["sd"] > 0
    assert row["control"] == pytest.approx(0.3, abs=0.05) and row["control_sd"] > 0
    assert (row["family"], row["control_is"], row["n_control_a"]) == ("diversity", "real_pairs", 40)
    assert row["preprocessing"] == {"scales": 5} and row["weights_sha256"] is None and row["extractor"] is None
    assert find(rows, metric="lpips")["weights_sha256"] == "def"
    study.pool_pairs = write_pairs(study.folder / "pool_pairs.npz", 0.8, seed=2, metrics=["lpips"])
    assert [row["metric"] for row in study.rows() if row["family"] == "diversity"] == ["lpips"]


def test_the_inception_score_is_given_on_request(study):
    study.pool_pixels = np.concatenate([study.pool_pixels, study.pool_pixels[1:] + 1])
    study.pool = {name: np.concatenate([values, values[1:] + 0.1]) for name, values in study.pool.items()}
    study.logits = {"logits": np.zeros((len(study.pool_pixels), 5), np.float32)}
    assert "inception_score" not in {row["metric"] for row in study.rows()}
    row = find(study.rows(score=True), metric="inception_score", extractor="wide")
    assert row["value"] == pytest.approx(1) and row["sd"] == pytest.approx(0) and row["family"] == "diversity"


def test_a_pool_of_one_image_has_reasons(study):
    study.pool_pixels = study.pool_pixels[:1]
    study.pool = {name: values[:1] for name, values in study.pool.items()}
    rows, nearest = study.evaluate()
    rows = rows["metrics"]
    for metric in ("fid", "kid", "kid_subsets"):
        row = find(rows, metric=metric, extractor="wide", reference="all")
        assert row["value"] is None and "found 1" in row["reason"]
        assert row["control"] is None and "too few for two parts" in row["note"]
    assert (
        "more than 3 images on either side, found 1"
        in find(rows, metric="recall", extractor="wide", reference="train")["reason"]
    )
    assert find(rows, metric="precision", extractor="wide", reference="train")["value"] == 1
    assert find(rows, metric="copy_rate", extractor="wide")["value"] == 1
    assert find(rows, metric="mse")["value"] == 0 and find(rows, metric="mse")["sd"] is None
    assert len(nearest) == 1


def test_without_held_out_images_controls_are_empty_with_a_reason(study):
    study.train = study.manifest
    rows = study.rows()
    for row in rows:
        if row["reference"] == "held_out":
            assert row["value"] is None and "found 0" in row["reason"]
        if row["control_is"] == "held_out":
            assert row["control"] is None and row["note"].startswith("no control: ") and row["n_control_a"] == 0
    for metric in ("copy_rate", "dcr_tail"):
        assert "no threshold" in find(rows, metric=metric, extractor="wide")["reason"]
    assert "no threshold" in find(rows, metric="view_copy_rate")["reason"]
    assert "found 0" in find(rows, metric="c_t", extractor="wide")["reason"]
    assert find(rows, metric="authpct", extractor="wide")["value"] is not None


@pytest.mark.parametrize("n", [0, 1])
def test_without_training_images_nothing_can_be_copied(study, n):
    study.train = study.manifest[study.manifest["label"] == "PNEUMONIA"].head(n)
    rows, nearest = study.evaluate()
    for row in rows["metrics"]:
        if row["metric"] in ("fid", "kid") and row["reference"] == "train":
            assert row["value"] is None and f"found {n}" in row["reason"]
        if row["metric"] in ("copy_rate", "dcr_tail", "view_copy_rate", "authpct"):
            assert row["value"] is None and row["reason"]
        if row["metric"] == "fid" and row["reference"] == "all":
            assert row["value"] is not None
    assert (nearest["view_relative_distance"] == "").all() and ((nearest["distance"] == "").all() == (n == 0))


def test_constant_and_repeated_images_are_counted_and_break_nothing(study):
    study.pool_pixels[3:9] = 77
    study.pool["narrow"][3:9] = 1
    rows = study.rows()
    assert find(rows, metric="constant_rate")["value"] == find(rows, metric="duplicate_rate")["value"] == 0.5
    assert find(rows, metric="view_copy_rate")["value"] == pytest.approx(1 / N_POOL)
    assert "identical" in find(rows, metric="recall", extractor="narrow", reference="train")["reason"]
    assert find(rows, metric="coverage", extractor="narrow", reference="train")["value"] is not None


def test_what_does_not_belong_together_is_refused(study):
    with pytest.raises(UserError, match="controls.json: controls of pools with 7 images, this one has 12"):
        study.evaluate(pool_size=7)
    study.pool_pixels = study.pool_pixels[:, :8, :8]
    with pytest.raises(UserError, match=r"manifest.csv: images of \(8, 8\) pixels, expected \(16, 16\)"):
        study.evaluate()


def test_halves_of_held_out_images_share_no_patient():
    table = pd.DataFrame({"image_id": list("abcdefgh"), "patient_id": list("ppqqq") + ["", "", ""]})
    table = table.assign(sha256=list("12345678"), near_duplicate_group=["", "", "", "", "g", "g", "", ""])
    first, second = halves(table)
    assert list(first["image_id"]) == ["a", "b", "g", "h"] and list(second["image_id"]) == ["c", "d", "e", "f"]
    single = table.assign(patient_id="", near_duplicate_group="")
    assert list(halves(single)[0]["image_id"]) == ["a", "c", "e", "g"]
    assert [len(half) for half in halves(table.head(0))] == [0, 0]


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
    withheld = reference_sets(table, table.head(2), "A", withheld=["same_patient"])
    assert list(withheld["train"]["image_id"]) == ["trained"], "what was withheld was not seen"
    assert list(withheld["held_out"]["image_id"]) == ["stranger", "stranger_too"], "the model was chosen by it"
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


def test_what_was_kept_of_the_reals_is_used_and_changes_no_number(study, monkeypatch):
    computed = []
    within = kernel._weighted_within
    monkeypatch.setattr(kernel, "_weighted_within", lambda x, *rest: computed.append(len(x)) or within(x, *rest))
    used, _ = study.evaluate()
    reals = 2 * 3 + 2  # two extractors by three references in the controls, and the pool by each
    assert len(computed) == reals
    save = np.savez
    monkeypatch.setattr(np, "savez", lambda path, **arrays: save(path, **({} if "reals" in str(path) else arrays)))
    assert study.evaluate()[0] == used
    assert len(computed) > 2 * reals, "now computed again for the pool"
