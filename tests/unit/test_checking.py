"""What `snakemake check` says of studies, of folders with planted mistakes, and of a machine."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from radsynth.checking.contents import plan_part
from radsynth.checking.counts import expected_left
from radsynth.checking.datasets import data_part, missing_credentials
from radsynth.checking.folders import suggest_pattern
from radsynth.checking.machine import Machine, machine_part
from radsynth.checking.needs import disk_needed, needs_part, weights_needed
from radsynth.checking.part import Part
from radsynth.checking.report import render, start_command
from radsynth.checking.times import borrowed, times_part
from radsynth.data.source import load_source
from radsynth.generators.ddpm import DDPM
from radsynth.generators.options import resolve_options
from radsynth.generators.unet import build_unet
from radsynth.study.config import Study

LABELS = ("healthy", "ill")
ROOT = Path(__file__).resolve().parents[2]


def image(path: Path, size=(32, 40), mode="L", value=None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).integers(0, 255, (size[1], size[0]), dtype=np.uint8)
    made = Image.fromarray(pixels if mode != "I;16" else pixels.astype(np.uint16) * 16)
    (made.convert(mode) if mode == "RGB" else made).save(path)


def fill(folder: Path, count=30, names="{}.png", labels=LABELS, **how) -> Path:
    for label in labels:
        for number in range(count):
            image(folder / label / names.format(number), **how)
    return folder


def study(path: Path, train=None, test="rest", **dataset) -> Study:
    scenario = {"train": train or dict.fromkeys(LABELS, 5), "test": test}
    return Study(
        {
            "study": "mine",
            "labels": list(LABELS),
            "datasets": {"mine": {"source": "folder", "path": str(path), **dataset}},
            "scenarios": {"small": scenario},
            "image_size": 32,
        }
    )


def looked(path: Path, **options) -> Part:
    return data_part(study(path, **options))[0]


def test_a_sound_folder_is_described_and_nothing_is_wrong(tmp_path):
    fill(tmp_path, names="{}.png")
    part, total = data_part(study(tmp_path))
    assert total == 60 and not part.mend and not part.look
    text = "\n".join(part.lines)
    assert "healthy 30, ill 30; patients are not known" in text and "healthy 32 x 40 px" in text
    assert "scenario small: healthy 5 of 30, about 25 left to test on; ill 5 of 30" in text


def test_more_images_asked_than_there_are(tmp_path):
    part = looked(fill(tmp_path), train={"healthy": 5, "ill": 31})
    assert part.mend == ["scenarios.small.train.ill: 31 asked, 30 there"]
    part = looked(tmp_path, train={"healthy": 5, "ill": 30})
    assert part.mend == ["scenarios.small.test: no ill image is left to test on; ask for fewer to learn from"]
    part = looked(tmp_path, test={"counts": {"healthy": 25, "ill": 26}})
    assert part.mend == ["scenarios.small.test.counts.ill: 26 asked, 25 left by the training images"]
    part = looked(tmp_path, train={"healthy": 5, "ill": 25})
    assert part.look == ["scenarios.small.test: only about 5 ill images are left to test on"] and not part.mend


def test_a_test_set_far_out_of_balance(tmp_path):
    fill(tmp_path, 330, labels=["healthy"])
    part = looked(fill(tmp_path, labels=["ill"]))
    (found,) = (text for text in part.look if "rest leaves" in text)
    assert "about 325 healthy and 25 ill" in found


def test_no_folder(tmp_path):
    part = looked(tmp_path / "none")
    assert part.mend == [f"{tmp_path}/none: no such folder; put the images there, one folder per class (healthy, ill)"]
    (tmp_path / "none").mkdir()
    assert "an empty folder; put" in looked(tmp_path / "none").mend[0]


@pytest.mark.parametrize(
    ("folders", "line"),
    [
        (("Healthy", "ILL"), "classes: {healthy: Healthy, ill: ILL}"),
        (("healthy", "ill patients"), "classes: {ill: ill patients}"),
        (("heathy", "ill"), "classes: {healthy: heathy}"),
    ],
)
def test_class_folders_of_other_names_get_the_line_to_write(tmp_path, folders, line):
    fill(tmp_path, 3, labels=folders)
    (text,) = looked(tmp_path).mend
    assert f"write under datasets.mine: {line}" in text
    classes = yaml.safe_load(line)["classes"]
    assert not [text for text in looked(tmp_path, classes=classes).mend if "class folder" in text]


def test_class_folders_that_are_like_nothing_there(tmp_path):
    fill(tmp_path, 3, labels=["cats", "dogs"])
    (text,) = looked(tmp_path).mend
    assert "found cats, dogs; name the folder of each label, such as classes: {healthy: FOLDER}" in text


def test_class_folders_in_several_places_and_empty_ones(tmp_path):
    fill(tmp_path / "a" / "clinic_1", 2)
    fill(tmp_path / "a" / "clinic_2", 2)
    (text,) = looked(tmp_path / "a").mend
    assert "in several places: clinic_1, clinic_2" in text
    fill(tmp_path / "b", 2, labels=["healthy"])
    (tmp_path / "b" / "ill").mkdir()
    (tmp_path / "b" / "ill" / "x.dcm").write_bytes(bytes(128) + b"DICM")
    (text,) = looked(tmp_path / "b").mend
    assert "empty class folder" in text and "DICOM files are read by the source vindr_mammo" in text


def test_masks_splits_and_other_files(tmp_path):
    fill(tmp_path / "train", 20)
    fill(tmp_path / "test", 25)
    image(tmp_path / "train" / "ill" / "3_mask.png")
    (tmp_path / "train" / "ill" / "x.dcm").write_bytes(bytes(128) + b"DICM")
    image(tmp_path / "elsewhere" / "x.png")
    part = looked(tmp_path)
    assert "  1 mask recognised by name or folder, no images" in part.lines
    assert "  a split in folders: train 40, test 50" in part.lines
    assert any("write test_split: test" in text for text in part.look)
    assert any("not an image: 1 file, not used: 1 DICOM" in text for text in part.look)
    assert any("outside classes: 1 file" in text and "elsewhere/: 1" in text for text in part.look)
    kept = looked(tmp_path, test_split="test")
    assert not any("test_split" in text for text in kept.look)
    assert any("healthy 5 of 20, about 25 left" in line for line in kept.lines)
    wrong = looked(tmp_path, test_split="testing")
    assert wrong.mend == ["datasets.mine.test_split: no image in a split 'testing', found train, test"]


def test_names_like_masks_without_images_are_named(tmp_path):
    part = looked(fill(tmp_path, names="{}_mask.png"))
    assert any("named like mask: 60 files, kept as images" in text for text in part.look)


@pytest.mark.parametrize(
    ("names", "pattern", "patients"),
    [
        ("p{0}/{1}.png", r"^([^/]+)/", 10),
        ("{0:08d}_{1}.png", r"^([A-Za-z]*[_-]?\d+)[_-]", 10),
        ("person{0}_virus_{1}.png", r"^([A-Za-z]*[_-]?\d+)[_-]", 10),
        ("2021_{2}.png", "", 0),
        ("scan_{2}.png", "", 0),
        ("{2}_scan.png", "", 0),
    ],
)
def test_patients_in_names_get_a_pattern_that_finds_them(tmp_path, names, pattern, patients):
    for label in LABELS:
        for number in range(30):
            image(tmp_path / label / names.format(number // 3, number % 3, number))
    images = load_source(study(tmp_path)["datasets"]["mine"], LABELS).layout.images
    assert suggest_pattern(images) == (pattern, patients)
    assert any("patient_pattern" in text for text in looked(tmp_path).look) == bool(pattern)
    if pattern:
        part = looked(tmp_path, patient_pattern=pattern)
        assert any("healthy 30 (10 patients), ill 30 (10 patients)" in line for line in part.lines)
        assert "  10 patients with images of several labels" in part.lines and not part.mend


def test_depth_colour_size_and_broken_files(tmp_path):
    fill(tmp_path / "deep", labels=["healthy"])
    fill(tmp_path / "deep", labels=["ill"], mode="I;16")
    part = looked(tmp_path / "deep")
    assert part.mend == [
        "datasets.mine: 30 of 60 images looked into have more than 8 bits (ill 30); write sixteen_bit: scale, or a "
        "window [low, high]"
    ]
    assert any("by bits per pixel (AUC 1.00)" in text for text in part.look)
    assert not looked(tmp_path / "deep", sixteen_bit="scale").mend
    part = looked(fill(tmp_path / "colour", mode="RGB"))
    assert part.look == [
        "datasets.mine: 60 of 60 images looked into are stored in colour, which is dropped where there is any"
    ]
    part = looked(fill(tmp_path / "small", size=(31, 40)))
    assert part.look == ["datasets.mine: 60 of 60 images looked into are smaller than image_size 32; they are enlarged"]
    broken = fill(tmp_path / "broken")
    (broken / "ill" / "7.png").write_bytes(b"no image")
    (text,) = looked(broken).mend
    assert "1 image cannot be opened, such as ill/7.png; replace it, or write skip_unreadable: true" in text
    assert not looked(broken, skip_unreadable=True).mend


def test_sizes_that_tell_the_label(tmp_path):
    fill(tmp_path, labels=["healthy"], size=(40, 40))
    part = looked(fill(tmp_path, labels=["ill"], size=(50, 40)))
    assert len(part.look) == 1 and "by width and height (AUC 1.00)" in part.look[0]


def test_nearly_empty_classes(tmp_path):
    fill(tmp_path, 30, labels=["healthy"])
    part = looked(fill(tmp_path, 7, labels=["ill"]), train={"healthy": 5, "ill": 5})
    assert "datasets.mine: only 7 images of ill" in part.look


def test_credentials_are_asked_for_where_images_must_be_fetched(tmp_path):
    name = "kaggle_cxr"
    assert missing_credentials(name, {}, tmp_path) == "KAGGLE_API_TOKEN or ~/.kaggle/kaggle.json"
    assert not missing_credentials(name, {"KAGGLE_API_TOKEN": "x"}, tmp_path)
    (tmp_path / ".kaggle").mkdir()
    (tmp_path / ".kaggle/kaggle.json").write_text("{}")
    assert not missing_credentials(name, {}, tmp_path)
    assert missing_credentials("vindr_mammo", {"PHYSIONET_USERNAME": "x"}, tmp_path)
    assert not missing_credentials("medmnist", {}, tmp_path)
    core = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    core["datasets"]["kaggle_cxr"] = {"source": "kaggle_cxr", "path": str(tmp_path / "none")}
    part, total = data_part(Study(core), {"KAGGLE_API_TOKEN": "secret"}, tmp_path / "home")
    assert total == 3602 and not part.mend and "secret" not in str(part)
    assert "  the complete set holds NORMAL 1,802, PNEUMONIA 1,800" in part.lines
    part, _ = data_part(Study(core), {}, tmp_path / "home")
    assert len(part.mend) == 1 and "no credentials to fetch them: set KAGGLE_API_TOKEN" in part.mend[0]


def test_what_is_left_to_test_on_is_what_random_draws_leave():
    images = [(label, f"p{number % 20}", "") for label in LABELS for number in range(40)]
    drawn = {"healthy": 5, "ill": 3}
    rng, left = np.random.default_rng(0), []
    for _ in range(2000):
        touched = {f"p{i % 20}" for label in LABELS for i in rng.choice(40, drawn[label], replace=False)}
        left.append(sum(patient not in touched for label, patient, _ in images if label == "ill"))
    number, patients = expected_left(images, drawn, by_patient=True)["ill"]
    assert number == pytest.approx(np.mean(left), abs=4 * np.std(left) / math.sqrt(2000))
    assert patients == pytest.approx(number / 2)
    assert expected_left(images, drawn, by_patient=False)["ill"][0] == pytest.approx(37)
    assert expected_left([("healthy", "", "")] * 9, {"healthy": 4}, True) == {"healthy": (pytest.approx(5), None)}


def test_the_plan_of_the_core_study():
    text = "\n".join(plan_part(Study(yaml.safe_load((ROOT / "config/config.yaml").read_text()))).lines)
    assert "4 cohorts: 1 dataset x 2 samplings" in text and "320 classifier trainings" in text
    assert text.count("4 trainings on small (NORMAL, PNEUMONIA), 4 pools of 2,000 images") == 2


@pytest.mark.parametrize("preset", ["default", "paper", "cpu"])
def test_parameters_of_the_unet_are_counted_exactly(preset):
    options = resolve_options("ddpm", preset, {})
    built = sum(parameter.numel() for parameter in build_unet(options, 64, 64, options["channels"]).parameters())
    assert DDPM.count_parameters(options, 64) == built


def test_disk_memory_and_weights(tmp_path):
    machine = Machine(cores=4, memory=8 * 10**9, disk=10**12, gpus=[], conda=False)
    core = Study(yaml.safe_load((ROOT / "config/config.yaml").read_text()))
    need = disk_needed(core, 3602)
    assert need["prepared images"] == 3602 * 128**2 and need["pools"] == 8 * 2000 * 128**2
    assert len(weights_needed(core)) == 5
    (tmp_path / weights_needed(core)[0]).touch()
    part = needs_part(core, 3602, machine, {"train_generator": 16000, "tables": 2000}, None, tmp_path)
    assert "memory: the largest job (train_generator) asks for 16,000 MB" in part.lines
    assert sum("is missing: fetched from https://" in line for line in part.lines) == 4
    assert any("this machine has 8,000 MB" in text for text in part.look)
    full = needs_part(core, 3602, Machine(4, 32 * 10**9, 10**6, [], False), {"tables": 2000}, None, tmp_path)
    assert any(text.startswith("disk: roughly") for text in full.look)


def test_what_the_machine_lacks(tmp_path):
    none = Machine(cores=4, memory=10**10, disk=10**12, gpus=[], conda=False)
    two = Machine(cores=4, memory=10**10, disk=10**12, gpus=["0", "1"], conda=True)
    mine = study(tmp_path)
    assert "no GPU" in machine_part(mine, none, False).lines[0]
    assert "preset: cpu is meant for CPUs" in machine_part(mine, none, False).look[0]
    assert machine_part(mine, none, True).mend == [
        "--sdm conda: there is no conda; install it, or leave that option out"
    ]
    (look,) = machine_part(mine, two, False).look
    assert "write keras_backend: torch, or add --sdm conda" in look
    mine.config["require_gpu"] = True
    assert machine_part(mine, none, False).mend == ["require_gpu: true, but no GPU is visible here"]
    mine.config["generators"]["ddpm"]["gpus"] = 4
    assert machine_part(mine, two, False).mend == ["generators.ddpm.gpus: 4 asked, 2 visible here"]


def benchmark(file: Path, seconds: float, memory: str) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"s\tmax_rss\n{seconds}\t{memory}\n")
    return str(file)


def test_times_are_those_that_were_measured(tmp_path):
    mine, folder = study(tmp_path), tmp_path / "results/mine/benchmarks"
    jobs = [f"{folder}/train_generator/mine/random/small/ddpm/{label}.tsv" for label in LABELS]
    jobs += [f"{folder}/train_classifier/mine/random/small/baseline/custom_cnn/run_{run}.tsv" for run in range(1, 6)]
    part, memory = times_part(mine, jobs, 2, tmp_path / "results")
    assert part.lines == ["nothing is known yet: no job has been measured; the first jobs will tell"] and not memory
    benchmark(Path(jobs[0]), 7200, "900.5")
    benchmark(Path(jobs[2]), 50, "NA")
    benchmark(Path(jobs[3]), 70, "300")
    part, memory = times_part(mine, jobs, 2, tmp_path / "results")
    # One generator of 7,200 s and three classifiers of 60 s are left.
    (line,) = part.lines
    assert line.startswith("about 2.0 h of jobs one after the other, 62 min if 2 cores each run one")
    assert line.endswith("(3 jobs of 7 that cost something are done)")
    assert memory == 900.5
    part, _ = times_part(mine, [*jobs, f"{folder}/evaluate/mine/random/small/baseline/custom_cnn/run_1.tsv"], 1)
    assert (
        part.lines[0].startswith("at least") and part.lines[1] == "not measured yet, jobs left: evaluate custom_cnn (1)"
    )


def test_times_of_another_study_count_where_the_same_runs_in_it(tmp_path):
    mine, folder = study(tmp_path), tmp_path / "results"
    other = study(tmp_path).config | {"study": "other"}
    (folder / "other/metrics").mkdir(parents=True)
    (folder / "other/metrics/config.yaml").write_text(yaml.safe_dump(other))
    benchmark(folder / "other/benchmarks/train_generator/mine/random/small/ddpm/ill.tsv", 100, "10")
    name, seconds = borrowed(mine, folder)
    assert name == "other" and seconds == {("train_generator", "ddpm"): [100.0]}
    jobs = [f"{folder}/mine/benchmarks/train_generator/mine/random/small/ddpm/{label}.tsv" for label in LABELS]
    assert "200 s" not in times_part(mine, jobs, 1, folder)[0].lines[0]
    assert "about 3 min" in times_part(mine, jobs, 1, folder)[0].lines[0]
    assert "measured in the study other" in times_part(mine, jobs, 1, folder)[0].lines[0]
    mine.config["generators"]["ddpm"]["options"]["batch_size"] += 1
    assert borrowed(mine, folder)[0] == ""


def test_the_verdict_names_everything_once():
    machine = Machine(cores=4, memory=1, disk=1, gpus=["0"], conda=False)
    command = start_command(["my study.yaml"], ["runs=2"], machine)
    assert command == "snakemake --configfile 'my study.yaml' --config runs=2 --cores 4 --resources gpu=1"
    good = Part("A", ["a"], look=["look"])
    assert render([good, Part("B")], command) == f"A\n  a\n\nLook at\n  - look\n\nReady: {command}"
    bad = Part("B", mend=["x", "y", "x"])
    assert render([good, bad], command).endswith("Not ready: 2 things to mend first\n  1. x\n  2. y")
