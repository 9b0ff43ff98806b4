"""The picture of the images that are too near to a training image."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.files import write_json
from radsynth.common.hashing import sha256_pixels
from radsynth.pools.suspects import read_suspects, write_suspects


@pytest.fixture
def study(tmp_path):
    """Four suspects of one pool: the second is the least likely, the last one no longer is after the correction."""
    for folder in ("data/d/images", "pools/d/g/images"):
        (tmp_path / folder).mkdir(parents=True)
        for index in range(4):
            Image.fromarray(np.full((8, 8), 40 * index, np.uint8)).save(tmp_path / folder / f"{index}.png")
    names = {"dataset": "d", "sampling": "s", "scenario": "c", "generator": "g", "label": "A"}
    found = [
        {
            "file": f"images/{index}.png",
            "metric": "view_nearest_copy",
            "extractor": None,
            "distance": 0.1,
            "chance": 1e-9,
        }
        for index in range(4)
    ]
    for suspect, p_value in zip(found, (1e-4, 1e-8, 1e-3, 0.06), strict=True):
        suspect["p_corrected"] = p_value
    # The same image by another measure, less likely to be seen: shown once.
    found.append(found[0] | {"metric": "nearest_copy", "extractor": "pixels", "p_corrected": 1e-5})
    table = pd.DataFrame([names | suspect for suspect in found])
    table.to_csv(tmp_path / "suspects.csv", index=False)
    kept = ("file", "metric", "extractor", "distance", "chance")
    entries = [
        {key: suspect[key] for key in kept} | {"nearest_image_id": f"real {index}"}
        for index, suspect in enumerate(found)
    ]
    write_json(tmp_path / "quality/d/g/A.json", {"suspects": entries})
    manifest = pd.DataFrame({"image_id": [f"real {index}" for index in range(5)]})
    manifest["file"] = [f"images/{index % 4}.png" for index in range(5)]
    for folder in ("data/d", "pools/d/g"):
        sums = [sha256_pixels(np.asarray(Image.open(tmp_path / folder / file))) for file in manifest["file"]]
        manifest.assign(sha256=sums).to_csv(tmp_path / folder / "manifest.csv", index=False)
    return tmp_path


def read(study):
    return read_suspects(study / "suspects.csv", f"{study}/quality/{{dataset}}/{{pool}}/{{label}}.json")


def write(study, suspects, shown=30):
    pool, data = f"{study}/pools/{{dataset}}/{{pool}}", f"{study}/data/{{dataset}}"
    write_suspects(study / "suspects.png", suspects, pool, data, 6, shown)
    with Image.open(study / "suspects.png") as image:
        return image.size


def test_suspects_come_by_their_corrected_p_value_each_once_with_its_training_image(study):
    found = [(suspect["file"], suspect["nearest_image_id"], suspect["metric"]) for suspect in read(study)]
    assert found == [
        ("images/1.png", "real 1", "view_nearest_copy"),
        ("images/0.png", "real 4", "nearest_copy"),
        ("images/2.png", "real 2", "view_nearest_copy"),
    ]


def test_the_picture_has_room_for_all_or_says_that_there_is_none(study):
    suspects = read(study)
    assert write(study, suspects * 2)[1] > write(study, suspects, shown=2)[1] > write(study, [])[1] > 50


def test_a_broken_image_is_named(study):
    (study / "pools/d/g/images/1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"images/1.png: not a readable image"):
        write(study, read(study))
