"""The gates catch planted leaks, and the room's three scripts work together."""

import json
import logging
import runpy
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from altered_images import encoded, rescaled
from conftest import stand_in
from PIL import Image
from radsynth.cohorts.elsewhere import check_elsewhere, find_repeats
from radsynth.cohorts.external import describe_external, known_elsewhere, seen_before, unseen_images
from radsynth.cohorts.gates import check_gates
from radsynth.cohorts.testsets import stacked
from radsynth.common.errors import UserError
from radsynth.common.features import read_features
from radsynth.common.hashing import sha256_pixels
from radsynth.common.tables import read_table
from radsynth.data.phantom import render

GATES = {"patient": True, "pixels": True, "near_duplicates": True}


@pytest.fixture
def cohorts(tmp_path):
    """Files of a clean scenario: 14 images, 4 for training, 1 for validation, 2 more for a generator, 2 tests of 3."""
    n = 14
    manifest = pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(n)],
            "label": ["NORMAL", "PNEUMONIA"] * (n // 2),
            "patient_id": [f"p{i // 2}" for i in range(n)],
            "sha256": [f"hash{i}" for i in range(n)],
            "near_duplicate_group": ["d0", "d0"] + [""] * (n - 2),
        }
    )
    files = SimpleNamespace(
        manifest=tmp_path / "manifest.csv",
        train=tmp_path / "train.csv",
        validation=tmp_path / "validation.csv",
        generator=tmp_path / "generator.csv",
        tests=tmp_path / "tests.csv",
    )
    rows = {files.train: [0, 1, 2, 3], files.validation: [12], files.generator: [0, 1, 4, 5]}
    manifest.to_csv(files.manifest, index=False)
    for path, images in rows.items():
        manifest.iloc[images].to_csv(path, index=False)
    tests = {"test_1": manifest.iloc[[6, 7, 8]], "test_2": manifest.iloc[[8, 9, 10]]}
    stacked(tests).to_csv(files.tests, index=False)
    return files


def check(files, counts=None, **gates):
    trains, gates = [files.train, files.generator], GATES | gates
    return check_gates(
        files.train, [files.tests], trains, files.manifest, gates, validation=files.validation, counts=counts
    )


def plant(files, changes=(), test_images=None, validation_images=None):
    """Change cells of the manifest (row, column, value), and test_1 and validation, in all files alike."""
    manifest = read_table(files.manifest)
    for row, column, value in changes:
        manifest.loc[row, column] = value
    manifest.to_csv(files.manifest, index=False)
    known = manifest.set_index("image_id", drop=False)
    for path in (files.train, files.validation, files.generator):
        images = path == files.validation and validation_images or read_table(path)["image_id"].tolist()
        known.loc[images].to_csv(path, index=False)
    tests = {name: rows["image_id"].tolist() for name, rows in read_table(files.tests).groupby("testset")}
    tests |= {"test_1": test_images} if test_images else {}
    stacked({name: known.loc[images] for name, images in tests.items()}).to_csv(files.tests, index=False)


def test_another_dataset_is_cleared_of_pixels_that_were_trained_on(cohorts):
    """Rows 0 and 4 of the manifest are a classifier's and a generator's training images; names mean nothing."""
    manifest = read_table(cohorts.manifest)
    other = manifest.iloc[:6].assign(sha256=["hash0", "x1", "x2", "x3", "hash4", "hash11"])
    seen = pd.concat([read_table(cohorts.train), read_table(cohorts.generator)])
    found = seen_before(other, seen, ("", ""), GATES | {"near_duplicates": False})
    assert unseen_images(other, found)["image_id"].tolist() == ["i1", "i2", "i3", "i5"]
    found = seen_before(other.iloc[[0, 4]], seen, ("", ""), GATES | {"near_duplicates": False})
    with pytest.raises(UserError, match=r"^external_test: all 2 images .*gates.pixels: 2, gates.near_duplicates: 0"):
        unseen_images(other.iloc[[0, 4]], found)
    off = dict.fromkeys(GATES, False)
    assert len(unseen_images(other, seen_before(other, seen, ("", ""), off))) == 6


def write_images(folder, images):
    """Write images as those of a dataset and return its manifest."""
    (folder / "images").mkdir(parents=True)
    files = [f"images/{index:03d}.png" for index in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(folder / file)
    table = {"image_id": files, "file": files, "label": "A", "patient_id": [f"p{index}" for index in range(len(files))]}
    return pd.DataFrame(table | {"sha256": [sha256_pixels(image) for image in images]})


@pytest.mark.parametrize(
    "change",
    [encoded, rescaled, lambda image: image[:, ::-1], lambda image: encoded(np.rot90(image, 3).copy())],
    ids=["re-encoded", "rescaled", "mirrored", "turned"],
)
def test_altered_training_images_are_kept_out_of_another_dataset_and_counted(tmp_path, change):
    """Ten of forty images of another hospital are training images that were altered; the rest are left alone."""
    train = [render(index, index, 96, index % 3 == 0)[0] for index in range(60)]
    others = [render(1000 + index, index, 96, index % 3 == 0)[0] for index in range(30)]
    seen = write_images(tmp_path / "own", train)
    external = write_images(tmp_path / "other", [*(change(train[5 * k]) for k in range(10)), *others])
    found = seen_before(external, seen, (tmp_path / "other", tmp_path / "own"), GATES)
    assert found["near_duplicates"].tolist() == [True] * 10 + [False] * 30 and not found["pixels"].any()
    unseen = unseen_images(external, found)
    summary = describe_external("external_other", unseen, external, ["A", "B"], found)
    assert summary["removed"] == {"pixels": 0, "near_duplicates": 10} and summary["left_out"] == {"A": 10, "B": 0}
    assert summary["subsets"]["external_other"]["A"]["n_patients"] == 30


@pytest.fixture
def others(tmp_path):
    """Sixty images, four of which stand altered, and one as it is, in another dataset; the paths of both manifests."""
    own = [render(index, index, 96, index % 3 == 0)[0] for index in range(60)]
    changed = [encoded(own[3]), rescaled(own[7]), own[11][:, ::-1], encoded(np.rot90(own[15], 3).copy()), own[19]]
    foreign = [render(1000 + index, index, 96, index % 3 == 0)[0] for index in range(30)]
    paths = {}
    for name, images in {"own": own, "others": [*changed, *foreign]}.items():
        table = write_images(tmp_path / name, images)
        paths[name] = tmp_path / name / "manifest.csv"
        table.assign(image_id=[f"{name}{index}" for index in range(len(images))]).to_csv(paths[name], index=False)
    return paths


def table_of(path, manifest, rows):
    read_table(manifest).iloc[rows].to_csv(path, index=False)
    return path


def repeated(others, path):
    tables = (read_table(others["own"]), read_table(others["others"]))
    found = find_repeats(*tables, (others["own"].parent, others["others"].parent), "others")
    found.to_csv(path, index=False)
    return path


def test_images_that_repeat_those_of_another_dataset_are_found(others, tmp_path):
    found = read_table(repeated(others, tmp_path / "repeats.csv"))
    assert set(found["dataset"]) == {"others"}
    pairs = [("own3", "others0"), ("own7", "others1"), ("own11", "others2"), ("own15", "others3"), ("own19", "others4")]
    near, same = (found[found["gate"] == gate] for gate in ("near_duplicates", "pixels"))
    assert sorted(zip(near["image_id"], near["repeats"], strict=True)) == sorted(pairs)
    assert list(zip(same["image_id"], same["repeats"], strict=True)) == pairs[4:]


def test_a_test_image_that_a_pool_knows_from_elsewhere_is_refused_and_named(others, tmp_path):
    repeats = [repeated(others, tmp_path / "repeats.csv")]
    clean, leak, same = (
        table_of(tmp_path / f"{name}.csv", others["own"], rows)
        for name, rows in {"clean": [0, 1, 2], "leak": [4, 7], "same": [5, 19]}.items()
    )
    assert check_elsewhere([clean], repeats, others["own"], GATES) == dict.fromkeys(GATES, 0)
    assert check_elsewhere([leak], [], others["own"], GATES) == dict.fromkeys(GATES, 0)
    with pytest.raises(UserError) as caught:
        check_elsewhere([clean, leak], repeats, others["own"], GATES)
    assert str(caught.value).startswith(
        f"{leak}: own7 and others1 of the dataset others, which pools know, are near dup"
    )
    assert "(1 such images)" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"same.csv: own19 and others4 .* have the same pixels"):
        check_elsewhere([same], repeats, others["own"], GATES)
    with pytest.raises(UserError, match=r"same.csv: own19 and others4 .* are near duplicates"):
        check_elsewhere([same], repeats, others["own"], GATES | {"pixels": False})
    off = GATES | {"pixels": False, "near_duplicates": False}
    found = check_elsewhere([clean, leak, same], repeats, others["own"], off)
    assert found == {"pixels": 1, "near_duplicates": 2, "patient": 0}


def test_an_image_of_a_patient_of_whom_the_other_dataset_has_another_is_refused(others, tmp_path):
    manifest = read_table(others["own"])
    manifest.loc[manifest["image_id"] == "own8", "patient_id"] = "p7"
    manifest.to_csv(others["own"], index=False)
    repeats = [repeated(others, tmp_path / "repeats.csv")]
    tests = table_of(tmp_path / "tests.csv", others["own"], [8, 9])
    with pytest.raises(UserError, match=r"own8 and others1 of the dataset others, .* are of the same patient, of whom"):
        check_elsewhere([tests], repeats, others["own"], GATES)
    assert check_elsewhere([tests], repeats, others["own"], GATES | {"patient": False})["patient"] == 1
    found = check_elsewhere([tests], repeats, others["own"], GATES | {"near_duplicates": False})
    assert found["patient"] == 0, "what is no duplicate tells of no patient"


def test_images_that_pools_know_from_elsewhere_are_left_out_of_an_external_test_set(others, tmp_path):
    external = read_table(others["own"])
    external.loc[external["image_id"] == "own8", "patient_id"] = "p7"
    found = known_elsewhere(external, [repeated(others, tmp_path / "repeats.csv")], GATES)
    assert {gate: list(external["image_id"][mask]) for gate, mask in found.items()} == {
        "pixels": ["own19"],
        "near_duplicates": ["own3", "own7", "own11", "own15"],
        "patient": ["own8"],
    }
    assert not np.any(list(known_elsewhere(external, [], GATES).values()))
    assert not np.any(list(known_elsewhere(external, [tmp_path / "repeats.csv"], dict.fromkeys(GATES, False)).values()))


def test_a_table_cut_at_a_line_end_is_told_by_its_counts(cohorts):
    tables = [read_table(path) for path in (cohorts.train, cohorts.validation)]
    counts = pd.concat(tables)["label"].value_counts().to_dict()
    assert check(cohorts, counts=counts | {"C": 0})
    tables[0].iloc[:-1].to_csv(cohorts.train, index=False)
    with pytest.raises(UserError, match=r"train.csv: \d images of .* with those for validation, the scenario says"):
        check(cohorts, counts=counts)


def test_a_clean_scenario_passes(cohorts):
    assert check(cohorts) == {
        "checked": {
            "train_images": 4,
            "generator_train_images": 6,
            "validation_images": 1,
            "test_sets": 2,
            "test_images": 5,
            "images_without_patient_id": 0,
        },
        "overlaps": {"patient": 0, "pixels": 0, "near_duplicates": 0},
        "validation_overlaps": {"patient": 0, "pixels": 0, "near_duplicates": 0},
        "patient_safe": True,
        "gates": GATES,
    }


LEAKS = {
    "patient": ([(7, "patient_id", "p1")], "i7 and i2", "train.csv are of the same patient"),
    "pixels": ([(6, "sha256", "hash3")], "i6 and i3", "train.csv have the same pixels"),
    "near_duplicates": (
        [(8, "near_duplicate_group", "d0")],
        "i8 and i0",
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
    assert message.startswith(f"{cohorts.tests}, test_1: {images} in ")
    assert reason in message
    assert "\n" not in message
    found = check(cohorts, **{gate: False})
    assert {name: count > 0 for name, count in found["overlaps"].items()} == {name: name == gate for name in LEAKS}
    assert found["patient_safe"] == (gate != "patient")


def test_a_generators_training_image_in_a_test_set_is_refused_with_all_gates_off(cohorts):
    plant(cohorts, test_images=["i7", "i4"])
    with pytest.raises(UserError, match=r"tests.csv, test_1: i4 and i4 in .*generator.csv are the same"):
        check(cohorts, **dict.fromkeys(GATES, False))


def test_a_patient_of_a_generators_training_image_is_refused(cohorts):
    plant(cohorts, [(8, "patient_id", "p2")])
    with pytest.raises(UserError, match=r"i8 and i4 in .*generator.csv are of the same patient"):
        check(cohorts)


def test_a_test_image_of_a_validation_images_patient_is_refused(cohorts):
    plant(cohorts, [(12, "patient_id", "p4")])
    with pytest.raises(UserError, match=r"tests.csv, test_1: i8 and i12 in .*validation.csv are of the same patient"):
        check(cohorts)
    found = check(cohorts, patient=False)
    assert found["overlaps"]["patient"] == 3, "i8 in both test sets, i9"
    assert found["validation_overlaps"]["patient"] == 0 and not found["patient_safe"]


@pytest.mark.parametrize("file", ["train", "generator"])
@pytest.mark.parametrize(
    ("column", "gate", "meaning"),
    [
        ("patient_id", None, "are of the same patient"),
        ("sha256", "pixels", "have the same pixels"),
        ("near_duplicate_group", "near_duplicates", "are near duplicates"),
    ],
)
def test_validation_images_share_nothing_with_what_is_learnt(cohorts, file, column, gate, meaning):
    row = {"train": 2, "generator": 4}[file]
    plant(cohorts, [(row, column, "shared"), (12, column, "shared")])
    off = {} if gate is None else {gate: False}
    with pytest.raises(UserError, match=rf"validation.csv: i12 and i{row} in .*{file}.csv {meaning}"):
        check(cohorts)
    if gate is None:
        with pytest.raises(UserError, match=rf"validation.csv: i12 and i{row} in .*{file}.csv {meaning}"):
            check(cohorts, **dict.fromkeys(GATES, False))
    else:
        assert check(cohorts, **off)["validation_overlaps"] == dict.fromkeys(GATES, 0) | {gate: 1}


def test_a_training_image_in_the_validation_set_is_refused_with_all_gates_off(cohorts):
    plant(cohorts, validation_images=["i12", "i5"])
    with pytest.raises(UserError, match=r"validation.csv: i5 and i5 in .*generator.csv are the same"):
        check(cohorts, **dict.fromkeys(GATES, False))


def test_an_image_twice_in_one_set_is_refused(cohorts):
    plant(cohorts, test_images=["i6", "i7", "i6"])
    with pytest.raises(UserError, match=r"tests.csv, test_1: image i6 is in the set twice"):
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
        snakemake = stand_in(
            script,
            tmp_path / "log",
            {"manifest": tmp_path / "manifest.csv", **inputs},
            outputs,
            {"gates": GATES, "test_split": space.test_split, "seed": 7, **params},
            wildcards=SimpleNamespace(dataset="d", **wildcards),
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


def draw_cohort(study, folder, scenario, method="random", replicate=1, **params):
    """Run the scripts from the orders to the training, validation and test sets, which then lie in the folder."""
    folder.mkdir(exist_ok=True)
    orders = [folder / "order_A.csv", folder / "order_B.csv"]
    for label, order in zip("AB", orders, strict=True):
        study.order(order, label, replicate=replicate, method=method)
    outputs = {name: folder / f"{name}.csv" for name in ("train", "validation", "tests")}
    params = {"labels": ["A", "B"], "spent": {"A": 15}, "validation_fraction": None} | params
    study.run(
        "cohort",
        {"orders": orders, "features": study.path / "features.npz"},
        outputs | {"summary": folder / "summary.json"},
        {"scenario": scenario, "scenario_name": "small"} | params,
        sampling="greedy",
    )
    return outputs["tests"]


@pytest.mark.parametrize("validation_fraction", [None, 0.3])
@pytest.mark.parametrize("test_split", [None, "test"])
@pytest.mark.parametrize("method", ["random", "k_center_greedy"])
def test_scripts_make_a_scenario_that_passes_its_gates(study, method, test_split, validation_fraction):
    path, study.test_split = study.path, test_split
    scenario = {"train": {"A": 12, "B": 6}, "test": {"sets": 2, "counts": {"A": 8, "B": 5}}}
    tests = draw_cohort(study, path, scenario, method, validation_fraction=validation_fraction)
    study.run(
        "gates",
        {
            "train": path / "train.csv",
            "validation": path / "validation.csv",
            "tests": tests,
            "generator_trains": [path / "train.csv"],
        },
        {"gates": path / "gates.json"},
        {"scenario_name": "small", "counts": scenario["train"]},
    )
    train, validation = read_table(path / "train.csv"), read_table(path / "validation.csv")
    assert list(validation.columns) == list(train.columns)
    both = pd.concat([train, validation])["label"].value_counts().to_dict()
    assert both == {"A": 12, "B": 6}, "the scenario counts both"
    assert (len(validation) > 0) == (validation_fraction is not None)
    checked = json.loads((path / "gates.json").read_text())["checked"]
    assert (checked["train_images"], checked["validation_images"]) == (len(train), len(validation))
    summary = json.loads((path / "summary.json").read_text())
    assert {k: v["n_images"] for k, v in summary["subsets"]["test_2"].items()} == {"A": 8, "B": 5}
    assert summary["extractor"] == "pixels"
    assert summary["patient_safe"] is True
    assert json.loads((path / "gates.json").read_text())["patient_safe"] is True
    assert ("validation" in summary["subsets"]) == (validation_fraction is not None)
    assert summary["images_per_patient"].keys() == {"A", "B"}
    # The diversity figure is that of the images named, whatever the order of the feature file.
    features = read_features(path / "features.npz", np.float64)
    chosen = features.features[[features.image_ids.index(i) for i in train["image_id"][train["label"] == "B"]]]
    distances = np.linalg.norm(chosen[:, None] - chosen[None], axis=2)
    figure = summary["subsets"]["train"]["B"]["mean_pairwise_distance"]
    assert figure == pytest.approx(distances.sum() / (len(chosen) * (len(chosen) - 1)))
    if test_split:
        assert set(train["split"]) == {"train"} and set(read_table(tests)["split"]) == {"test"}
        longer = pd.concat([read_table(path / f"order_{label}.csv") for label in "AB"])
        assert set(longer["split"]) == {"train"} and len(longer) < 60


def share_tests(study, samplings):
    """Run the script that makes the common test set of the samplings, whose cohorts lie in folders of their names."""
    seen = [study.path / name / f"{file}.csv" for name in samplings for file in ("train", "validation")]
    study.run(
        "common_test",
        {"seen": seen, "features": study.path / "features.npz"},
        {
            "tests": [study.path / name / "common.csv" for name in samplings],
            "summaries": [study.path / name / "common.json" for name in samplings],
        },
        {"labels": ["A", "B"]},
    )
    return seen


@pytest.mark.parametrize("test_split", [None, "test"])
def test_samplings_share_the_images_that_none_of_them_touches(study, test_split):
    path, study.test_split = study.path, test_split
    scenario = {"train": {"A": 12, "B": 6}, "test": {"sets": 1, "counts": {"A": 1, "B": 1}}}
    samplings = ("random", "random_2", "k_center_greedy")
    for k, name in enumerate(samplings, 1):
        method = "k_center_greedy" if name == "k_center_greedy" else "random"
        draw_cohort(study, path / name, scenario, method, k, validation_fraction=0.3)
    seen = share_tests(study, samplings)
    assert len({(path / name / "common.csv").read_bytes() for name in samplings}) == 1
    common, manifest = read_table(path / "random/common.csv"), read_table(path / "manifest.csv")
    used = pd.concat([read_table(file) for file in seen])
    assert not set(used["patient_id"]) & set(common["patient_id"]) and used["image_id"].nunique() > 30
    testable = manifest if test_split is None else manifest[manifest["split"] == test_split]
    free = testable[~testable["patient_id"].isin(used["patient_id"])]
    assert common["image_id"].tolist() == free["image_id"].tolist() and len(free) > 5
    summary = json.loads((path / "random/common.json").read_text())
    assert {label: found["n_images"] for label, found in summary["subsets"]["common"].items()} == (
        common["label"].value_counts().to_dict()
    )
    unused = testable[~testable["image_id"].isin(used["image_id"])]
    assert sum(summary["left_out"].values()) == len(unused) - len(common)
    assert summary["patient_safe"] is True


def test_a_label_may_be_missing_from_the_common_test_set(study):
    scenario = {"train": {"A": 12, "B": 6}, "test": {"sets": 1, "counts": {"A": 1, "B": 1}}}
    draw_cohort(study, study.path / "random", scenario)
    manifest = read_table(study.path / "manifest.csv")
    used = manifest[(manifest["label"] == "A") | (manifest["image_id"].isin(["i01", "i02"]))]
    used.to_csv(study.path / "random/validation.csv", index=False)
    share_tests(study, ["random"])
    common = read_table(study.path / "random/common.csv")
    assert set(common["label"]) <= {"B"}
    assert "INFO 0 images of A, 0 left out" in (study.path / "log").read_text()
    manifest.to_csv(study.path / "random/validation.csv", index=False)
    share_tests(study, ["random"])
    assert read_table(study.path / "random/common.csv").empty
    assert json.loads((study.path / "random/common.json").read_text())["subsets"]["common"] == {}


def test_the_common_test_set_passes_the_gates_or_is_not_made(study, monkeypatch, capsys):
    scenario = {"train": {"A": 12, "B": 6}, "test": {"sets": 1, "counts": {"A": 1, "B": 1}}}
    for name in ("random", "random_2"):
        draw_cohort(study, study.path / name, scenario, replicate=len(name))
    monkeypatch.setattr("radsynth.cohorts.common_images.untouched", lambda images, *_: (images, {"A": 0, "B": 0}))
    with pytest.raises(SystemExit):
        share_tests(study, ["random", "random_2"])
    assert "common.csv, common: i" in capsys.readouterr().err


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
    """An image is neither preferred nor put off for sharing a patient with one before it."""
    first = study.order(study.path / "a.csv", "A", method=method)["image_id"].tolist()
    manifest = read_table(study.path / "manifest.csv")
    assert manifest["patient_id"].nunique() < len(manifest)
    for patients in (manifest["patient_id"].sample(frac=1, random_state=0).to_numpy(), "one", ""):
        manifest.assign(patient_id=patients).to_csv(study.path / "manifest.csv", index=False)
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
    manifest.head(0).to_csv(path / "empty.csv", index=False)
    for split in ("train", "test"):
        images = manifest[manifest["split"] == split]
        images.head(3).to_csv(path / f"{split}.csv", index=False)
        images.tail(3).to_csv(path / f"other_{split}.csv", index=False)
    for train, test, wrong in (("test", "other_test", "/test.csv"), ("train", "other_train", "/tests.csv, test_1")):
        stacked({"test_1": read_table(path / f"{test}.csv")}).to_csv(path / "tests.csv", index=False)
        inputs = {"train": path / f"{train}.csv", "tests": path / "tests.csv", "generator_trains": []}
        inputs["validation"] = path / "empty.csv"
        with pytest.raises(SystemExit):
            study.run("gates", inputs, {"gates": path / "gates.json"}, {"scenario_name": "small", "counts": None})
        error = capsys.readouterr().err
        assert f"{wrong}: i" in error and "on the wrong side of the published split test" in error


def test_an_unknown_class_ends_the_job_in_one_line(study, capsys):
    with pytest.raises(SystemExit):
        study.order(study.path / "a.csv", "C")
    assert "labels: no image of class C in " in capsys.readouterr().err
