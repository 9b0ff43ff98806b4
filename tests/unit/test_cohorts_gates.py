"""The gates catch planted leaks, and the room's three scripts work together."""

import json
import logging
import runpy
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from radsynth.cohorts.external import unseen_images
from radsynth.cohorts.gates import check_gates
from radsynth.common.errors import UserError
from radsynth.common.features import read_features
from radsynth.common.tables import read_table

GATES = {"patient": True, "pixels": True, "near_duplicates": True}


@pytest.fixture
def cohorts(tmp_path):
    """Files of a clean scenario: 12 images, 4 for training, 2 more for a generator, 2 test sets of 3."""
    n = 12
    manifest = pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(n)],
            "label": ["NORMAL", "PNEUMONIA"] * (n // 2),
            "patient_id": [f"p{i // 2}" for i in range(n)],
            "sha256": [f"hash{i}" for i in range(n)],
            "near_duplicate_group": ["d0", "d0"] + [""] * 10,
        }
    )
    files = SimpleNamespace(
        manifest=tmp_path / "manifest.csv",
        train=tmp_path / "train.csv",
        generator=tmp_path / "generator.csv",
        tests=[tmp_path / "test_1.csv", tmp_path / "test_2.csv"],
    )
    rows = {files.train: [0, 1, 2, 3], files.generator: [0, 1, 4, 5]}
    rows |= {files.tests[0]: [6, 7, 8], files.tests[1]: [8, 9, 10]}
    manifest.to_csv(files.manifest, index=False)
    for path, images in rows.items():
        manifest.iloc[images].to_csv(path, index=False)
    return files


def check(files, **gates):
    return check_gates(files.train, files.tests, [files.train, files.generator], files.manifest, GATES | gates)


def plant(files, changes=(), test_images=None):
    """Change cells of the manifest (row, column, value) and the images of test_1, in all files alike."""
    manifest = read_table(files.manifest)
    for row, column, value in changes:
        manifest.loc[row, column] = value
    manifest.to_csv(files.manifest, index=False)
    for path in (files.train, files.generator, *files.tests):
        images = test_images if test_images and path == files.tests[0] else read_table(path)["image_id"].tolist()
        manifest.set_index("image_id", drop=False).loc[images].to_csv(path, index=False)


def test_another_dataset_is_cleared_of_pixels_that_were_trained_on(cohorts):
    """Rows 0 and 4 of the manifest are a classifier's and a generator's training images; names mean nothing."""
    manifest = read_table(cohorts.manifest)
    other = manifest.iloc[:6].assign(sha256=["hash0", "x1", "x2", "x3", "hash4", "hash11"])
    unseen = unseen_images(other, [read_table(cohorts.train), read_table(cohorts.generator)])
    assert unseen["image_id"].tolist() == ["i1", "i2", "i3", "i5"]
    with pytest.raises(UserError, match="^external_test: all images"):
        unseen_images(other.iloc[[0, 4]], [read_table(cohorts.train), read_table(cohorts.generator)])


def test_a_clean_scenario_passes(cohorts):
    assert check(cohorts) == {
        "checked": {
            "train_images": 4,
            "generator_train_images": 6,
            "test_sets": 2,
            "test_images": 5,
            "images_without_patient_id": 0,
        },
        "overlaps": {"patient": 0, "pixels": 0, "near_duplicates": 0},
        "patient_safe": True,
        "gates": GATES,
    }


LEAKS = {
    "patient": ([(7, "patient_id", "p1")], "i7 and the training image i2", "train.csv are of the same patient"),
    "pixels": ([(6, "sha256", "hash3")], "i6 and the training image i3", "train.csv have the same pixels"),
    "near_duplicates": (
        [(8, "near_duplicate_group", "d0")],
        "i8 and the training image i0",
        "train.csv are near duplicates",
    ),
}


@pytest.mark.parametrize("gate", LEAKS)
def test_a_planted_leak_is_refused_by_its_gate_and_counted_without_it(cohorts, gate):
    changes, images, reason = LEAKS[gate]
    plant(cohorts, changes)
    with pytest.raises(UserError) as error:
        check(cohorts)
    message = str(error.value)
    assert message.startswith(f"{cohorts.tests[0]}: {images} in ")
    assert reason in message
    assert "\n" not in message
    found = check(cohorts, **{gate: False})
    assert {name: count > 0 for name, count in found["overlaps"].items()} == {name: name == gate for name in LEAKS}
    assert found["patient_safe"] == (gate != "patient")


def test_a_generators_training_image_in_a_test_set_is_refused_with_all_gates_off(cohorts):
    plant(cohorts, test_images=["i7", "i4"])
    with pytest.raises(UserError, match=r"test_1.csv: i4 and the training image i4 in .*generator.csv are the same"):
        check(cohorts, **dict.fromkeys(GATES, False))


def test_a_patient_of_a_generators_training_image_is_refused(cohorts):
    plant(cohorts, [(8, "patient_id", "p2")])
    with pytest.raises(UserError, match=r"i8 and the training image i4 in .*generator.csv are of the same patient"):
        check(cohorts)


def test_an_image_twice_in_one_set_is_refused(cohorts):
    plant(cohorts, test_images=["i6", "i7", "i6"])
    with pytest.raises(UserError, match=r"test_1.csv: image i6 is in the set twice"):
        check(cohorts)


@pytest.mark.parametrize("column", ["label", "patient_id", "sha256", "near_duplicate_group"])
def test_a_cohort_that_disagrees_with_the_manifest_is_refused(cohorts, column):
    table = read_table(cohorts.generator)
    table.loc[2, column] = "other"
    table.to_csv(cohorts.generator, index=False)
    with pytest.raises(UserError, match=rf"generator.csv: {column} of image i4 is 'other', expected '.*' as in "):
        check(cohorts)


def test_an_image_that_the_manifest_does_not_know_is_refused(cohorts):
    table = read_table(cohorts.train)
    table.loc[1, "image_id"] = "stranger"
    table.to_csv(cohorts.train, index=False)
    with pytest.raises(UserError, match=r"train.csv: image stranger is not in .*manifest.csv"):
        check(cohorts)


def test_unknown_patients_are_no_leak_but_not_safe_either(cohorts):
    plant(cohorts, [(1, "patient_id", ""), (7, "patient_id", "")])
    found = check(cohorts)
    assert found["checked"]["images_without_patient_id"] == 2
    assert found["overlaps"]["patient"] == 0
    assert not found["patient_safe"]


@pytest.fixture
def study(root, tmp_path):
    """A runner of the room's scripts on a small data set, with the objects that Snakemake would give them."""
    rng = np.random.default_rng(0)
    n = 90
    manifest = pd.DataFrame(
        {
            "image_id": [f"i{i:02d}" for i in range(n)],
            "file": [f"images/i{i:02d}.png" for i in range(n)],
            "label": rng.choice(["A", "B"], n),
            "patient_id": [f"p{i}" for i in rng.integers(60, size=n)],
            "sha256": [f"hash{i}" for i in range(n)],
            "near_duplicate_group": "",
            "split": rng.choice(["train", "test"], n),
        }
    )
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    extractor = json.dumps({"name": "pixels"})
    ids = rng.permutation(manifest["image_id"].to_numpy(str))
    features = rng.normal(size=(n, 6)).astype(np.float32)
    np.savez(tmp_path / "features.npz", features=features, image_id=ids, extractor=extractor)

    def run(script, inputs, outputs, params, **wildcards):
        snakemake = SimpleNamespace(
            input=SimpleNamespace(manifest=tmp_path / "manifest.csv", **inputs),
            output=SimpleNamespace(**outputs),
            params=SimpleNamespace(gates=GATES, test_split=space.test_split, seed=7, **params),
            wildcards=SimpleNamespace(dataset="d", **wildcards),
            log=[tmp_path / "log"],
            rule=script,
            resources={},
            config={},
        )
        runpy.run_path(str(root / "workflow" / "scripts" / f"{script}.py"), {"snakemake": snakemake})

    def order(path, label, sampling_name="greedy", replicate=1, method="k_center_greedy"):
        sampling = {"method": method, "replicate": replicate, "extractor": "pixels"}
        inputs = {"features": tmp_path / "features.npz"} if method == "k_center_greedy" else {}
        params = {"sampling": sampling, "sampling_name": sampling_name, "limit": 20}
        run("cohort_order", inputs, {"order": path}, params, sampling=sampling_name, label=label)
        return read_table(path)

    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    space = SimpleNamespace(run=run, order=order, path=tmp_path, test_split=None)
    yield space
    # The scripts log to a file of this test.
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.mark.parametrize("test_split", [None, "test"])
@pytest.mark.parametrize("method", ["random", "k_center_greedy"])
def test_scripts_make_a_scenario_that_passes_its_gates(study, method, test_split):
    path, study.test_split = study.path, test_split
    orders = [path / "order_A.csv", path / "order_B.csv"]
    for label, order in zip("AB", orders, strict=True):
        study.order(order, label, method=method)
    tests = [path / "test_1.csv", path / "test_2.csv"]
    scenario = {"train": {"A": 12, "B": 6}, "test": {"sets": 2, "counts": {"A": 8, "B": 5}}}
    study.run(
        "cohort",
        {"orders": orders, "features": path / "features.npz"},
        {"train": path / "train.csv", "tests": tests, "summary": path / "summary.json"},
        {"scenario": scenario, "scenario_name": "small", "labels": ["A", "B"], "spent": {"A": 15}},
        sampling="greedy",
    )
    study.run(
        "gates",
        {"train": path / "train.csv", "tests": tests, "generator_trains": [path / "train.csv"]},
        {"gates": path / "gates.json"},
        {"scenario_name": "small"},
    )
    summary = json.loads((path / "summary.json").read_text())
    assert {k: v["n_images"] for k, v in summary["subsets"]["test_2"].items()} == {"A": 8, "B": 5}
    assert summary["extractor"] == "pixels"
    assert summary["patient_safe"] is True
    assert json.loads((path / "gates.json").read_text())["patient_safe"] is True
    # The diversity figure is that of the images named, whatever the order of the feature file.
    features = read_features(path / "features.npz", np.float64)
    train = read_table(path / "train.csv")
    chosen = features.features[[features.image_ids.index(i) for i in train["image_id"][train["label"] == "B"]]]
    distances = np.linalg.norm(chosen[:, None] - chosen[None], axis=2)
    figure = summary["subsets"]["train"]["B"]["mean_pairwise_distance"]
    assert figure == pytest.approx(distances.sum() / (6 * 5))
    if test_split:
        assert set(train["split"]) == {"train"} and all(set(read_table(test)["split"]) == {"test"} for test in tests)
        longer = pd.concat([read_table(order) for order in orders])
        assert set(longer["split"]) == {"train"} and len(longer) < 60


@pytest.mark.parametrize("method", ["random", "k_center_greedy"])
def test_orders_are_deterministic_and_replicates_differ(study, method):
    first = study.order(study.path / "a.csv", "A", method=method)
    assert first["rank"].tolist() == [str(i) for i in range(len(first))]
    # The row order of the manifest does not matter.
    manifest = read_table(study.path / "manifest.csv")
    manifest.iloc[::-1].to_csv(study.path / "manifest.csv", index=False)
    assert study.order(study.path / "b.csv", "A", method=method).equals(first)
    other = study.order(study.path / "c.csv", "A", "greedy_2", 2, method=method)
    assert other["image_id"].tolist() != first["image_id"].tolist()


@pytest.mark.parametrize("method", ["random", "k_center_greedy"])
def test_orders_do_not_depend_on_whose_images_they_are(study, method):
    """An image is neither preferred nor put off for sharing a patient, or near duplicates, with one before it."""
    first = study.order(study.path / "a.csv", "A", method=method)["image_id"].tolist()
    manifest = read_table(study.path / "manifest.csv")
    assert manifest["patient_id"].nunique() < len(manifest)
    for patients in (manifest["patient_id"].sample(frac=1, random_state=0).to_numpy(), "one", ""):
        manifest.assign(patient_id=patients, near_duplicate_group=patients).to_csv(
            study.path / "manifest.csv", index=False
        )
        assert study.order(study.path / "b.csv", "A", method=method)["image_id"].tolist() == first


def test_a_published_split_that_is_not_there_ends_the_job(study, capsys):
    study.test_split = "validation"
    with pytest.raises(SystemExit):
        study.order(study.path / "a.csv", "A")
    expected = "test_split: no image of the split 'validation', the manifest tells test, train"
    assert expected in capsys.readouterr().err


def test_gates_refuse_images_on_the_wrong_side_of_the_published_split(study, capsys):
    path, study.test_split = study.path, "test"
    manifest = read_table(path / "manifest.csv")
    for split in ("train", "test"):
        images = manifest[manifest["split"] == split]
        images.head(3).to_csv(path / f"{split}.csv", index=False)
        images.tail(3).to_csv(path / f"other_{split}.csv", index=False)
    for train, test, wrong in (("test", "other_test", "test"), ("train", "other_train", "other_train")):
        inputs = {"train": path / f"{train}.csv", "tests": [path / f"{test}.csv"], "generator_trains": []}
        with pytest.raises(SystemExit):
            study.run("gates", inputs, {"gates": path / "gates.json"}, {"scenario_name": "small"})
        error = capsys.readouterr().err
        assert f"/{wrong}.csv: i" in error and "on the wrong side of the published split test" in error


def test_an_unknown_class_ends_the_job_in_one_line(study, capsys):
    with pytest.raises(SystemExit):
        study.order(study.path / "a.csv", "C")
    assert "labels: no image of class C in " in capsys.readouterr().err
