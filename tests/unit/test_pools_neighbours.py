"""The panels of nearest training images."""

import logging
import runpy
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import stand_in
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.files import write_json
from radsynth.common.hashing import sha256_pixels
from radsynth.pools.neighbours import closest, read_nearest, read_panels


@pytest.fixture
def pool(tmp_path):
    """A pool of 12 gray squares and two training images; image 3 is closest by features, image 7 by views."""
    for folder, count in (("pool/images", 12), ("data/images", 2)):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(np.full((8, 8), 20 * i, np.uint8)).save(tmp_path / f"{folder}/{i:06d}.png")
    files = [f"images/{i:06d}.png" for i in range(12)]
    sums = [sha256_pixels(np.full((8, 8), 20 * i, np.uint8)) for i in range(12)]
    pd.DataFrame({"file": files, "sha256": sums}).to_csv(tmp_path / "pool/manifest.csv", index=False)
    relative = np.linspace(0.5, 0.9, 12)
    relative[3] = 0.1
    views = relative[::-1].copy()
    views[7] = 0.05
    table = pd.DataFrame(
        {
            "file": files,
            "nearest_image_id": [f"real_{i % 2}" for i in range(12)],
            "distance": np.arange(12.0),
            "relative_distance": relative,
            "view_nearest_image_id": [f"real_{(i + 1) % 2}" for i in range(12)],
            "view_relative_distance": views,
            "chance": np.where(np.arange(12) == 9, 1e-6, np.nan),
        }
    )
    table.to_csv(tmp_path / "NORMAL_nearest.csv", index=False)
    train = pd.DataFrame({"image_id": ["real_0", "real_1"], "file": files[:2], "sha256": sums[:2]})
    train.to_csv(tmp_path / "train.csv", index=False)
    write_json(tmp_path / "controls_NORMAL.json", {"typical_distance": {"pixels": 9.5}})
    return tmp_path


@pytest.fixture
def run(root, pool):
    """Run the rule's script on the planted pool."""
    before = logging.root.handlers[:], logging.root.level

    def call(**changed):
        params = {"pool": str(pool / "pool"), "data": str(pool / "data"), "extractor": "pixels", "shown": 8}
        inputs = {"nearest": "NORMAL_nearest.csv", "controls": "controls_NORMAL.json", "train": "train.csv"}
        job = stand_in(
            "neighbours",
            pool / "neighbours.log",
            {name: str(pool / file) for name, file in inputs.items()},
            {"png": str(pool / "neighbours.png")},
            params | {"title": "ddpm NORMAL"} | changed,
        )
        runpy.run_path(str(root / "workflow/scripts/neighbours.py"), init_globals={"snakemake": job})

    yield call
    logging.root.handlers[:], logging.root.level = before


def test_the_closest_by_either_measure_come_first(pool):
    table = read_nearest(pool / "NORMAL_nearest.csv")
    assert closest(table, 4).index.tolist()[0] == 9, "a suspect comes first"
    table["chance"] = np.nan
    assert closest(table, 4).index.tolist()[:2] in ([3, 7], [7, 3])
    # Then the second of either: 0 by features; by views image 8, which has the value of image 3 from behind.
    assert set(closest(table, 4).index) == {3, 7, 0, 8}
    assert len(closest(table, 100)) == 12
    table["view_relative_distance"] = np.nan
    assert closest(table, 3).index.tolist() == [3, 0, 1]


def test_panels_are_the_synthetic_image_and_its_nearest_training_images(pool):
    table = read_nearest(pool / "NORMAL_nearest.csv")
    panel, _ = read_panels(table.iloc[[3, 4]], pool / "pool", pool / "data", pool / "train.csv")
    assert [image[0, 0] for image in panel] == [60, 20, 0]


def test_the_panel_is_written_twice_the_same(run, pool):
    run()
    first = (pool / "neighbours.png").read_bytes()
    with Image.open(pool / "neighbours.png") as image:
        assert image.size[0] == 1350
    run()
    assert (pool / "neighbours.png").read_bytes() == first


def test_images_without_a_nearest_one_are_left_out(run, pool):
    table = pd.read_csv(pool / "NORMAL_nearest.csv")
    table[["nearest_image_id", "view_nearest_image_id"]] = ""
    table.to_csv(pool / "NORMAL_nearest.csv", index=False)
    run()
    assert (pool / "neighbours.png").is_file()


def test_a_training_image_may_be_called_na(pool):
    table = pd.read_csv(pool / "NORMAL_nearest.csv").assign(nearest_image_id="NA")
    table.to_csv(pool / "NORMAL_nearest.csv", index=False)
    assert set(read_nearest(pool / "NORMAL_nearest.csv")["nearest_image_id"]) == {"NA"}


def test_an_undefined_typical_distance_is_called_so(run, pool):
    write_json(pool / "controls_NORMAL.json", {"typical_distance": {"pixels": None}})
    run()
    assert (pool / "neighbours.png").is_file()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda pool: (pool / "pool/images/000003.png").unlink(), "000003.png: the image has vanished"),
        (lambda pool: (pool / "data/images/000001.png").write_bytes(b"x"), "000001.png: not a readable image"),
        (
            lambda pool: shutil.copy(pool / "data/images/000001.png", pool / "pool/images/000003.png"),
            "000003.png: not the image that its manifest names",
        ),
        (
            lambda pool: shutil.copy(pool / "data/images/000000.png", pool / "data/images/000001.png"),
            "000001.png: not the image that its manifest names",
        ),
        (
            lambda pool: (pool / "train.csv").write_text("image_id,file,sha256\nother,images/000000.png,0\n"),
            "train.csv: no training image real_",
        ),
        (
            lambda pool: (pool / "NORMAL_nearest.csv").write_text("file,distance\na,1\n"),
            "NORMAL_nearest.csv: column relative_distance is missing",
        ),
        (
            lambda pool: write_json(pool / "controls_NORMAL.json", {"typical_distance": {}}),
            "controls_NORMAL.json: no typical distance in pixels",
        ),
    ],
)
def test_bad_input_is_one_line_that_names_the_file(run, pool, capsys, break_it, message):
    break_it(pool)
    with pytest.raises((SystemExit, UserError)) as error:
        run()
    text = f"{error.value} {capsys.readouterr().err} {Path(pool / 'neighbours.log').read_text()}"
    assert message in text and "Traceback" not in text and not (pool / "neighbours.png").exists()
