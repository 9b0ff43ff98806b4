"""What leaves a study of a user's own images, by its report or archive or by hand, names no patient and no path."""

import base64
import io
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import matplotlib
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from test_tiny_study import COMMAND, TINY, write_config

LABELS = TINY["labels"]
HEALTHY = "healthy of Dr Hook"
NAMES = ["DOE^JANE", "ROE^RICHARD", "ÖZ^AYŞE"]
#: Beside the images: a patient's folder, a patient as a suffix, masks and what the configuration leaves out.
OTHERS = ["Zoe Moe/1.png", f"{HEALTHY}/scan.Zoe_Moe", f"{HEALTHY}/masks/Zoe Moe.png", "PNEUMONIA/Moe left.png"]
SECRETS = {"PHYSIONET_USERNAME": "Dr Hook the reader", "PHYSIONET_PASSWORD": "s3cret-pass", "KAGGLE_KEY": "kag-s3cret"}
PATTERN = r"(MRN77\w\d+)"
#: Also as they stand in ids of images, and the folder of all tests, which is a part of every absolute path.
PLANTED = [
    *("DOE^JANE", "DOE_JANE", "ROE^RICHARD", "ROE_RICHARD", "ÖZ^AYŞE", "Z_AY_E", "1961-03", "1961_03", "MRN77"),
    *("Zoe Moe", "Zoe_Moe", "Moe left", "Private Clinic", "of Dr Hook", "of_Dr_Hook", "Hook home", "pytest-of"),
    *SECRETS.values(),
]
STUDY = TINY | {
    "samplings": {"random": {"method": "random"}},
    "scenarios": {"small": {"train": dict.fromkeys(LABELS, 16)}},
    "mixes": {"baseline": {"real": True}},
    "validation": "none",
    "runs": 1,
}
LEAVE = [
    *("report.html", "report.zip", "resources/paper_cache/tiny/*", "results/tiny/*.*", "results/tiny/metrics/**/*"),
    *("results/tiny/tables/**/*", "results/tiny/figures/**/*", "results/tiny/pools/**/manifest.csv"),
    *("results/tiny/**/*.png", "results/tiny/**/*.pdf", "results/tiny/**/*.md"),
]


def plant(raw: Path) -> None:
    """Write a folder of images whose names, patients and texts inside the files are to be found nowhere else."""
    rng = np.random.default_rng(0)
    slope = np.add.outer(np.arange(40), np.arange(40))
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", NAMES[0])
    for label, folder in zip(LABELS, (HEALTHY, "PNEUMONIA"), strict=True):
        (raw / folder).mkdir(parents=True)
        for i in range(40):
            pixels = (slope * (2 + (label == LABELS[1])) + rng.normal(0, 20, (40, 40))).clip(0, 255)
            name = f"{NAMES[i % 3]} 1961-03-{i:02} MRN77{label[0]}{i // 2:03}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(raw / folder / name, pnginfo=text)
    image = next(raw.glob(f"{HEALTHY}/*MRN77N000.png"))
    for name in OTHERS:
        (raw / name).parent.mkdir(exist_ok=True)
        (raw / name).write_bytes(image.read_bytes() if name.endswith(".png") else b"no image")
    # One picture, and one patient, in both classes.
    shutil.copy(image, raw / "PNEUMONIA" / image.name)
    (raw / HEALTHY / "DOE^JANE 1961-03-99 MRN77N000.png").write_bytes(b"no image")


def contents(data: bytes) -> Iterator[bytes]:
    """Yield the content of a file, and of all that is packed into it."""
    yield data
    for packed in re.findall(rb"base64,([A-Za-z0-9+/=]+)", data):
        yield from contents(base64.b64decode(packed))
    if data.startswith(b"%PDF"):
        for stream in re.findall(rb"stream\r?\n(x.*?)endstream", data, re.DOTALL):
            yield zlib.decompressobj().decompress(stream)
    elif data.startswith(b"\x89PNG"):
        kinds = set(re.findall(rb"iTXt|zTXt|eXIf|iCCP", data[:1000]))
        assert not kinds, "texts in PNGs would have to be unpacked"
    elif data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            for name in packed.namelist():
                yield name.encode()
                yield from contents(packed.read(name))


def found_in(path: Path) -> set[str]:
    """Return which of the planted texts a file holds, in whatever way it is packed or written."""
    found = {name for name in PLANTED if name.lower() in path.name.lower()}
    for data in contents(path.read_bytes()):
        text = data.decode("utf-8", "replace")
        # As JSON and HTML write what is not ASCII.
        plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
        for reading in (text, unquote(plain)):
            lower = reading.lower()
            found |= {name for name in PLANTED if name.lower() in lower}
    return found


@pytest.mark.slow
def test_what_leaves_names_no_patient_and_no_path(checkout, snakemake, tmp_path, monkeypatch):
    # Fonts stay where they are known: finding them anew takes each job seconds.
    monkeypatch.setenv("MPLCONFIGDIR", matplotlib.get_configdir())
    monkeypatch.setenv("HOME", str(tmp_path / "Hook home"))
    for variable, secret in SECRETS.items():
        monkeypatch.setenv(variable, secret)
    raw = tmp_path / "Private Clinic"
    plant(raw)
    dataset = {"source": "folder", "path": str(raw), "patient_pattern": PATTERN, "skip_unreadable": True}
    dataset |= {"classes": {"NORMAL": HEALTHY}, "exclude": ["Moe left*"]}
    study = STUDY | {"datasets": {"mine": dataset}}
    write_config(checkout, study)
    for command in (["all", "archive"], ["--report", "report.html"], ["--report", "report.zip"]):
        result = snakemake(checkout, *COMMAND, *(["--"] if command[0] == "all" else []), *command)
        assert result.returncode == 0, result.stdout[-3000:]

    # All of it is known where it stays.
    data = checkout / "results/tiny/data/mine"
    assert {"DOE^JANE", "ÖZ^AYŞE", "MRN77", "of Dr Hook"} <= found_in(data / "manifest.csv")
    log = (checkout / "results/tiny/logs/prepare_data/mine.log").read_text()
    assert "patient in two classes: patient MRN77N000" in log
    for name in (*OTHERS, "DOE^JANE 1961-03-99 MRN77N000.png"):
        assert name in log, name

    # The logins stay in the environment, even in what stays here.
    kept = [file for folder in ("results", ".snakemake") for file in (checkout / folder).rglob("*") if file.is_file()]
    texts = [file.read_bytes() for file in kept if file.suffix not in (".png", ".safetensors", ".keras")]
    assert len(texts) > 100 and not any(secret.encode() in text for text in texts for secret in SECRETS.values())

    leaving = {file for pattern in LEAVE for file in checkout.glob(pattern)}
    leaving = {file for file in leaving if file.is_file() and "images" not in file.parts}
    kinds = {file.suffix for file in leaving}
    assert len(leaving) > 100 and {".html", ".zip", ".csv", ".yaml", ".md", ".tex", ".png", ".pdf"} <= kinds
    assert {file.relative_to(checkout): found for file in sorted(leaving) if (found := found_in(file))} == {}

    def reported(real_images: bool) -> set[str]:
        write_config(checkout, study | {"report": {"real_images": real_images}})
        assert "Nothing to be done" in snakemake(checkout, *COMMAND).stdout
        made = snakemake(checkout, *COMMAND, "--report", "pictures.zip")
        assert made.returncode == 0, made.stdout[-3000:]
        with zipfile.ZipFile(checkout / "pictures.zip") as packed:
            text = packed.read("pictures/report.html").decode()
            assert ("This report shows real images" in text) == real_images
            return {Path(name).name for name in packed.namelist()}

    real = {"samples.png", "comparison_NORMAL.png", "neighbours.png", "preview.png", "suspects.png"}
    shown = reported(False)
    assert not real & shown and "grid.png" in shown
    assert real <= reported(True) and not found_in(checkout / "pictures.zip")
