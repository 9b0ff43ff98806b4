"""Pools: files, manifests, resume after a kill, grids."""

import json
import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.features import read_image_set
from radsynth.common.hashing import sha256_pixels
from radsynth.common.models import model_hash
from radsynth.common.seeds import derive_seed
from radsynth.common.sets import ImageSet
from radsynth.common.sheets import choose
from radsynth.common.tables import read_table
from radsynth.generators.base import Generator
from radsynth.pools import writing
from radsynth.pools.grid import write_grid
from radsynth.pools.kind import Given
from radsynth.pools.pictures import write_comparison
from radsynth.pools.sampled import Sampled
from radsynth.pools.writing import COLUMNS, count_duplicates, write_pool

SAMPLER = {"name": "ddim", "steps": 5}


def read_pool(manifest_csv):
    return read_table(manifest_csv), read_image_set(manifest_csv)[1]


class Noise(Generator):
    """Random images; counts what it draws, and may die at an image."""

    masks, die_at, side, channels = False, None, 8, ("gray",)

    def death(self):
        raise KeyboardInterrupt

    def learn(self, data, run_dir, seed):
        self.arrays = {"level": np.array([100.0])}

    def draw(self, rng, condition):
        self.drawn = getattr(self, "drawn", 0) + 1
        if self.drawn == self.die_at:
            self.death()
        image = rng.integers(0, 256, (self.side, self.side, len(self.channels)), dtype=np.uint8)
        return (image, (image[..., 0] > 128).astype(np.uint8)) if self.masks else image


class Large(Noise):
    side = 64


def pool(folder, generator=None, size=10, **changes):
    arguments = {"label": "NORMAL", "size": size, "seed": 4, "threads": 3} | changes
    given = Given(
        {"kind": "sampled", "generator": "noise", "conditions": "fresh"},
        models={"noise": generator or Noise({})},
        samplers={"noise": arguments.pop("sampler", SAMPLER)},
        hash="abc",
    )
    return write_pool(Sampled(), given, folder / "images", folder / "manifest.csv", **arguments)


def test_manifest_and_files_hold_what_the_contract_says(tmp_path):
    pool(tmp_path)
    manifest, images = read_pool(tmp_path / "manifest.csv")
    assert list(manifest.columns) == COLUMNS
    assert list(manifest["file"]) == [f"images/{index:06d}.png" for index in range(10)]
    row = manifest.iloc[3].to_dict()
    assert row.pop("sha256") == sha256_pixels(images[3])
    assert json.loads(row.pop("condition")) == {"label": "NORMAL"}
    expected = {"index": "3", "file": "images/000003.png", "mask_file": "", "mask_sha256": ""}
    expected |= {"channels": "gray", "label": "NORMAL", "seed": "4"}
    assert row == expected | {"model_hash": "abc", "sampler": "ddim", "steps": "5", "guidance": "", "device": "cpu"}
    drawn = np.concatenate([batch.images for batch in Noise({}).sample(range(10), 4)])
    assert np.array_equal(images, drawn[..., 0])
    assert {path.name for path in tmp_path.iterdir()} == {"images", "manifest.csv"}
    assert len(list((tmp_path / "images").iterdir())) == 10


def test_masks_lie_beside_their_images(tmp_path):
    generator = Noise({})
    generator.masks = True
    pool(tmp_path, generator)
    manifest, images = read_pool(tmp_path / "manifest.csv")
    for image, file in zip(images, manifest["mask_file"], strict=True):
        assert np.array_equal(np.asarray(Image.open(tmp_path / file)), image > 128)


def test_channels_and_masks_are_named_with_their_sums(tmp_path):
    generator = Noise({})
    generator.masks, generator.channels, generator.die_at = True, ("soft", "bone"), 7
    with pytest.raises(KeyboardInterrupt):
        pool(tmp_path, generator)
    generator.die_at = None
    pool(tmp_path, generator)
    manifest = read_table(tmp_path / "manifest.csv")
    drawn = [next(generator.sample([index], 4)) for index in range(10)]
    assert set(manifest["channels"]) == {"soft bone"}
    assert list(manifest["sha256"]) == [sha256_pixels(batch.images) for batch in drawn]
    assert list(manifest["mask_sha256"]) == [sha256_pixels(batch.masks) for batch in drawn]
    with Image.open(tmp_path / "images/000009.png") as image:
        assert image.mode == "LA" and np.array_equal(np.asarray(image), drawn[9].images[0])
    gray = np.rint(np.concatenate([batch.images for batch in drawn]).mean(axis=-1))
    assert np.array_equal(read_image_set(tmp_path / "manifest.csv")[1], gray)
    assert {path.name for path in (tmp_path / "images").iterdir() if path.suffix != ".png"} == {"masks"}


def test_one_pool_has_the_same_channels_in_all_images(tmp_path):
    class Changing(Noise):
        @property
        def channels(self):
            return ("soft", "bone") if getattr(self, "drawn", 0) > 5 else ("gray",)

    with pytest.raises(UserError, match="'soft', 'bone'., expected .'gray'. as of the first"):
        pool(tmp_path, Changing({}))


def test_an_interrupted_pool_keeps_its_finished_images(tmp_path):
    pool(tmp_path / "whole")
    dying = Noise({})
    dying.die_at = 7
    with pytest.raises(KeyboardInterrupt):
        pool(tmp_path / "parts", dying)
    assert not (tmp_path / "parts/images").exists()
    assert not (tmp_path / "parts/manifest.csv").exists()
    # What a kill in the middle of a file leaves behind.
    (tmp_path / "parts/.images.partial/000008.png.tmp").write_bytes(b"half")
    rest = Noise({})
    pool(tmp_path / "parts", rest)
    assert rest.drawn == 4
    assert read_files(tmp_path / "parts") == read_files(tmp_path / "whole")


def read_files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("change", [{"seed": 5}, {"sampler": {"name": "ddim", "steps": 6}}, {"label": "OTHER"}])
def test_unfinished_images_of_another_pool_are_not_taken_over(tmp_path, change):
    dying = Noise({})
    dying.die_at = 7
    with pytest.raises(KeyboardInterrupt):
        pool(tmp_path, dying)
    fresh = Noise({})
    pool(tmp_path, fresh, **change)
    assert fresh.drawn == 10


def test_a_smaller_pool_is_a_prefix(tmp_path):
    dying = Noise({})
    dying.die_at = 9
    with pytest.raises(KeyboardInterrupt):
        pool(tmp_path / "a", dying)
    assert len(pool(tmp_path / "a", size=4)) == 4
    pool(tmp_path / "b", size=10)
    small, large = (read_pool(tmp_path / name / "manifest.csv")[1] for name in "ab")
    assert np.array_equal(small, large[:4])
    assert len(list((tmp_path / "a/images").iterdir())) == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_pool_that_was_killed_is_finished_to_the_same_bytes(tmp_path, number):
    pool(tmp_path / "whole")
    for die_at in (4, 3):
        child = os.fork()
        if child == 0:
            dying = Noise({})
            dying.die_at, dying.death = die_at, lambda: os.kill(os.getpid(), number)
            pool(tmp_path / "parts", dying)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == number
        assert not (tmp_path / "parts/images").exists() and not (tmp_path / "parts/manifest.csv").exists()
    rest = Noise({})
    pool(tmp_path / "parts", rest)
    # Each kill lost at most the images that the three workers had not written yet.
    assert rest.drawn <= 10
    assert read_files(tmp_path / "parts") == read_files(tmp_path / "whole")


def test_an_unfinished_image_that_is_cut_off_is_drawn_again(tmp_path):
    pool(tmp_path / "whole")
    dying = Noise({})
    dying.die_at = 7
    with pytest.raises(KeyboardInterrupt):
        pool(tmp_path / "parts", dying)
    victim = tmp_path / "parts/.images.partial/000002.png"
    victim.write_bytes(victim.read_bytes()[:60])
    rest = Noise({})
    pool(tmp_path / "parts", rest)
    assert rest.drawn == 5
    assert read_files(tmp_path / "parts") == read_files(tmp_path / "whole")


def test_a_full_disk_ends_the_pool_and_room_finishes_it(tmp_path, disk):
    pool(tmp_path, Large({}), size=60)
    drawing = Large({})
    with disk.full(left=20_000 if disk.size else 1000), pytest.raises(UserError) as caught:
        pool(disk.folder, drawing, size=60)
    assert "png: could not be written (" in str(caught.value) and "\n" not in str(caught.value)
    assert {path.name for path in disk.folder.iterdir()} <= {".images.partial"}
    pool(disk.folder, Large({}), size=60)
    assert read_files(disk.folder / "images") == read_files(tmp_path / "images")


def test_images_that_are_made_faster_than_written_do_not_pile_up(tmp_path, monkeypatch):
    waiting, most, write = set(), [], writing._write_png

    def slowly(folder, index, *rest):
        time.sleep(0.005)
        write(folder, index, *rest)
        waiting.discard(index)

    class Counting(Noise):
        def draw(self, rng, condition):
            waiting.add(len(most))
            most.append(len(waiting))
            return super().draw(rng, condition)

    monkeypatch.setattr(writing, "_write_png", slowly)
    monkeypatch.setattr(writing, "MOST_WAITING", 20)
    pool(tmp_path, Counting({}), size=200, threads=1)
    assert 20 <= max(most) <= 23 and len(read_files(tmp_path / "images")) == 200


def test_two_processes_do_not_write_one_pool(tmp_path):
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        waiting = Noise({})
        waiting.die_at, waiting.death = 3, lambda: (os.write(tell, b"x"), time.sleep(600))
        pool(tmp_path, waiting)
    os.read(told, 1)
    try:
        with pytest.raises(UserError, match=rf"\.images\.lock: process {child} on .* still writes here; wait for"):
            pool(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert len(pool(tmp_path)) == 10
    assert {path.name for path in tmp_path.iterdir()} == {"images", "manifest.csv"}


def test_a_cut_off_image_of_a_pool_is_named(tmp_path):
    pool(tmp_path)
    victim = tmp_path / "images/000004.png"
    victim.write_bytes(victim.read_bytes()[:60])
    with pytest.raises(UserError, match="images/000004.png: not a readable image"):
        read_pool(tmp_path / "manifest.csv")


def test_duplicates_are_counted(tmp_path, caplog):
    pool(tmp_path)
    manifest = read_table(tmp_path / "manifest.csv")
    assert count_duplicates(manifest) == 0
    manifest.loc[[2, 5], "sha256"] = manifest["sha256"][0]
    assert count_duplicates(manifest) == 2
    assert "2 of 10 images repeat" in caplog.text


def test_model_hash_follows_the_model_and_not_its_timings(tmp_path):
    generator = Noise({"a": 1})
    data = ImageSet(np.zeros((2, 8, 8, 1), dtype=np.uint8), [{"label": "A"}] * 2)
    generator.fit(data, tmp_path, seed=1)
    generator.save(tmp_path / "model")
    first = model_hash(tmp_path / "model")
    (tmp_path / "model/metrics.jsonl").write_text("1.5 images/s")
    (tmp_path / "model/describe.json").write_text("{}")
    assert model_hash(tmp_path / "model") == first
    generator.arrays["level"] += 1
    generator.save(tmp_path / "model")
    assert model_hash(tmp_path / "model") != first


def test_selection_is_seeded_and_without_repeats():
    assert np.array_equal(choose(100, 10, 1), choose(100, 10, 1))
    assert not np.array_equal(choose(100, 10, 1), choose(100, 10, 2))
    assert len(set(choose(100, 10, 1))) == 10
    assert list(choose(3, 10, 1)) == [0, 1, 2]


def test_grid_and_comparison_are_legible_files(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 32, 32), dtype=np.uint8)
    table = pd.DataFrame({"file": [f"{index:03d}.png" for index in range(60)]})
    table["sha256"] = [sha256_pixels(image) for image in images] * 2
    for file, image in zip(table["file"], np.concatenate([images, images]), strict=True):
        Image.fromarray(image).save(tmp_path / file)
    shown = [choose(60, 48, derive_seed(1, "grid")), choose(60, 12, derive_seed(1, "comparison"))]
    for index in set(range(60)).difference(*map(set, shown)):
        (tmp_path / table["file"][index]).unlink()
    write_grid(tmp_path / "grid.png", tmp_path, table, "ddpm: NORMAL", seed=1)  # reads only what it shows
    write_grid(tmp_path / "few.png", tmp_path, table.iloc[np.sort(shown[0])[:3]], "few", seed=1)
    columns = [(name, tmp_path, table) for name in ("original", "ddpm", "pggan")]
    paths = [tmp_path / "comparison.png", tmp_path / "comparison.pdf"]
    write_comparison(paths, columns, "NORMAL", seed=1)
    with Image.open(paths[0]) as picture:
        assert picture.info["dpi"][0] == pytest.approx(300, abs=1)
        assert picture.size[0] > 1500
    first = paths[1].read_bytes()
    assert first.startswith(b"%PDF")
    write_comparison(paths, columns, "NORMAL", seed=1)
    assert paths[1].read_bytes() == first
    assert not list(tmp_path.glob(".*"))
