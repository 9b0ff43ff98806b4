"""The source `folder` and what preparation does with good, odd and bad images."""

import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.files import read_json
from radsynth.common.hashing import sha256_pixels
from radsynth.common.images import read_gray
from radsynth.data.convert import Geometry, to_gray
from radsynth.data.manifest import image_ids, write_manifest
from radsynth.data.prepare import prepare

LABELS = ["NORMAL", "PNEUMONIA"]


def texture(seed: int, shape: tuple[int, int] = (40, 40)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def raw(tmp_path):
    """Two class folders with three good images each, below a path with a space."""
    root = tmp_path / "my images"
    for offset, label in enumerate(LABELS):
        for index in range(3):
            save(root / label / f"p{index + 3 * offset}_{index}.png", texture(index + 10 * offset))
    return root


@pytest.fixture
def run(tmp_path, raw):
    """Prepare `raw` at 32 px; return manifest, integrity checks by name and the output folder."""

    def prepare_raw(labels=LABELS, size=32, **options):
        out = tmp_path / "out"
        dataset = {"source": "folder", "path": str(raw), "fit": "squash", **options}
        files = {name: out / name for name in ("images", "masks")}
        files |= {"manifest": out / "manifest.csv", "integrity": out / "integrity.json", "table": out / "integrity.md"}
        prepare("mine", dataset, labels, size, 1, **files, threads=2)
        table = pd.read_csv(out / "manifest.csv", dtype=str, keep_default_na=False)
        checks = {}
        for check in read_json(out / "integrity.json")["checks"]:
            checks[check["check"]] = checks.get(check["check"], 0) + check["count"]
        return table, checks, out

    return prepare_raw


def test_prepared_images_and_manifest_agree(run):
    table, checks, out = run()
    assert len(table) == 6 and set(table.label) == set(LABELS)
    assert table.image_id.is_unique and list(table.columns[:2]) == ["image_id", "file"]
    for row in table.itertuples():
        pixels = read_gray(out / row.file)
        assert pixels.shape == (32, 32) and pixels.dtype == np.uint8
        assert sha256_pixels(pixels) == row.sha256
    assert not list((out / "masks").iterdir())
    assert {name for name, count in checks.items() if count} == {"patient_unknown", "files_seen"}
    report = read_json(out / "integrity.json")
    assert report["counts"] == {"NORMAL": 3, "PNEUMONIA": 3} and report["expected"] is None
    assert "| NORMAL | 3 |" in (out / "integrity.md").read_text()


def test_every_listed_format_is_found_in_any_case_and_depth(run, raw):
    for number, name in enumerate(["a.JPG", "b.jpeg", "deep er/c.BMP", "d.tif", "e.Tiff"]):
        save(raw / "NORMAL" / name, texture(50 + number))
    (raw / "NORMAL" / "notes.txt").write_text("not an image")
    (raw / "NORMAL" / "._a.png").write_text("not an image either")
    table, _, _ = run()
    assert (table.label == "NORMAL").sum() == 8


def test_native_size_keeps_every_pixel(run, raw):
    table, _, out = run(size=40)
    row = table[table.source == "NORMAL/p1_1.png"].iloc[0]
    assert (read_gray(out / row.file) == texture(1)).all()


def test_classes_give_other_folder_names(run, raw):
    (raw / "NORMAL").rename(raw / "healthy ones")
    table, _, _ = run(classes={"NORMAL": "healthy ones"})
    assert (table.label == "NORMAL").sum() == 3


def test_unknown_class_name_is_refused(run):
    with pytest.raises(UserError, match="'SICK'.*not among labels"):
        run(classes={"SICK": "x"})


@pytest.mark.parametrize("pattern", [r"^(p\d+)_", r"^(?P<patient>p\d+)_(\d)"])
def test_patient_pattern(run, pattern):
    table, checks, _ = run(patient_pattern=pattern)
    assert sorted(table.patient_id) == [f"p{n}" for n in range(6)] and checks["patient_unknown"] == 0


def test_patient_pattern_that_does_not_match_names_the_file(run, raw):
    save(raw / "NORMAL" / "odd.png", texture(9))
    with pytest.raises(UserError, match="odd.png.*patient_pattern"):
        run(patient_pattern=r"^(p\d+)_")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"^p\d+_", "has 0 groups, expected one group"),
        (r"^(p)(\d+)_", "has 2 groups, expected one group"),
        (r"^(p\d+_", r"is no regular expression \(missing \)"),
    ],
)
def test_patient_pattern_that_finds_no_patient_is_refused(run, pattern, message):
    with pytest.raises(UserError, match=f"^patient_pattern: .* {message}") as error:
        run(patient_pattern=pattern)
    assert "\n" not in str(error.value)


def test_patient_in_two_classes_is_counted(run, raw):
    save(raw / "PNEUMONIA" / "p0_7.png", texture(99))
    _, checks, _ = run(patient_pattern=r"^(p\d+)_")
    assert checks["patient_in_two_classes"] == 1


def test_missing_path_missing_class_empty_class(run, raw, tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder; put the images there"):
        run(path=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="TB: no such class folder for label TB; its parent holds NORMAL, PNEUMONIA"):
        run(labels=[*LABELS, "TB"])
    (raw / "TB").mkdir()
    with pytest.raises(UserError, match="TB: empty class folder for label TB"):
        run(labels=[*LABELS, "TB"])


@pytest.mark.parametrize("content", [b"", b"no image", "cut"])
def test_unreadable_image_stops_with_its_name(run, raw, content):
    path = raw / "NORMAL" / "broken one.png"
    if content == "cut":
        content = save(path, texture(3)).read_bytes()[:700]
    path.write_bytes(content)
    with pytest.raises(UserError, match="my images/NORMAL/broken one.png: not a readable image") as caught:
        run()
    assert "\n" not in str(caught.value)


def test_an_image_or_mask_that_would_fill_the_memory_is_named(run, raw, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    for path in sorted(raw.glob("*/*.png")):
        save(raw / "masks" / path.relative_to(raw), np.zeros((40, 40), dtype=np.uint8))
    bomb = save(raw / "masks/NORMAL/p0_0.png", np.zeros((200, 200), dtype=np.uint8))
    with pytest.raises(UserError, match="NORMAL/p0_0.png: its mask .*p0_0.png is not readable .*exceeds limit"):
        run(masks="masks")
    bomb.rename(raw / "NORMAL/p0_0.png")
    with pytest.raises(UserError, match="NORMAL/p0_0.png: not a readable image .*exceeds limit"):
        run()


def test_links_are_read_and_nothing_is_written_through_them(run, raw, tmp_path):
    outside = save(tmp_path / "elsewhere/x.png", texture(50))
    before = outside.read_bytes()
    (raw / "NORMAL/link.png").symlink_to(outside)
    (raw / "NORMAL/dangling.png").symlink_to(tmp_path / "nothing.png")
    (raw / "NORMAL/a..b$(touch x);.png").symlink_to(outside)
    table, checks, out = run()
    assert {"NORMAL/link.png", "NORMAL/a..b$(touch x);.png"} <= set(table.source) and len(table) == 8
    assert {file.name for file in (out / "images").iterdir()} == {f"{name}.png" for name in table.image_id}
    assert checks["unreadable"] == 1 and checks["links"] == 2, "the dangling link is counted"
    assert not any(file.is_symlink() for file in out.rglob("*"))
    assert outside.read_bytes() == before and [file.name for file in outside.parent.iterdir()] == ["x.png"]


def test_classes_of_dead_links_alone_stop_in_one_line_beside_masks_too(run, raw):
    save(raw / "masks/NORMAL/p0_0.png", np.ones((40, 40), np.uint8))
    for file in list(raw.glob("[NP]*/*.png")):
        file.unlink()
        file.symlink_to(raw / "gone.png")
    with pytest.raises(UserError, match="mine has no usable image of label NORMAL"):
        run(masks="masks")


def test_unreadable_images_can_be_skipped(run, raw):
    (raw / "NORMAL" / "broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="broken.png"):
        run()
    assert not list((raw.parent / "out").iterdir()), "images are all there or none"
    table, checks, _ = run(skip_unreadable=True)
    assert len(table) == 6 and checks["unreadable"] == 1


def test_class_with_nothing_usable_stops(run, raw):
    for file in (raw / "NORMAL").iterdir():
        save(file, np.full((40, 40), 7, dtype=np.uint8))
    with pytest.raises(UserError, match="mine has no usable image of label NORMAL"):
        run()


def test_16_bit_is_refused_scaled_or_windowed(run, raw):
    deep = np.full((32, 32), 25700, dtype=np.uint16)
    deep[0, :3] = [0, 20000, 65535]
    save(raw / "NORMAL" / "deep.png", deep)
    with pytest.raises(UserError, match="deep.png: 16 bits or more"):
        run()
    for how, expected in (("scale", [0, 78, 255, 100]), ([20000, 30000], [0, 0, 255, 145])):
        table, checks, out = run(sixteen_bit=how)
        pixels = read_gray(out / table[table.source == "NORMAL/deep.png"].file.iloc[0])
        assert pixels[0, :4].tolist() == expected
        assert checks["converted_16_bit"] == 1


def test_scale_is_the_range_in_use_over_all_images_and_the_report_tells_it(run, raw):
    """12-bit values in 16-bit files would be nearly black on the whole range of 16 bits."""
    for index, top in enumerate((4000, 1000)):
        deep = np.linspace(100, top, 1600).reshape(40, 40).astype(np.uint16)
        save(raw / "NORMAL" / f"deep {index}.png", deep)
    table, checks, out = run(sixteen_bit="scale", size=40)
    report = read_json(out / "integrity.json")
    assert report["window"] == [100, 4000]
    (row,) = [row for row in report["checks"] if row["check"] == "converted_16_bit"]
    assert row["count"] == 2 and row["what_was_done"] == "reduced to 8 bits: 100 to 4000 became 0 to 255"
    brightest = [read_gray(out / file).max() for file in table[table.source.str.contains("deep")].file]
    assert brightest == [255, round(900 / 3900 * 255)]
    assert checks["mixed_depth"] == 2, "a classifier could learn the depth"
    save(raw / "NORMAL/dark.png", (texture(9) // 2).astype(np.uint16))
    assert run(sixteen_bit="scale")[1]["narrow_range"] == 1


@pytest.mark.parametrize(
    ("values", "mode", "tags", "first"),
    [
        (np.linspace(0, 4095, 1600), np.uint16, {}, 0),
        (np.linspace(0, 4095, 1600), np.uint16, {262: 0}, 255),
        (np.linspace(-1, 1, 1600), np.float32, {}, 0),
        (np.linspace(-1, 1, 1600), np.float32, {262: 0}, 255),
        (np.linspace(-70000, 70000, 1600), np.int32, {}, 0),
    ],
)
def test_deep_tiff_files_keep_their_order_and_min_is_white_is_turned_round(run, raw, values, mode, tags, first):
    pixels = values.reshape(40, 40).astype(mode)
    save(raw / "NORMAL/deep.tif", pixels, tiffinfo=tags)
    table, _, out = run(sixteen_bit="scale", size=40)
    prepared = read_gray(out / table[table.source == "NORMAL/deep.tif"].file.iloc[0]).astype(int).ravel()
    assert prepared[0] == first and prepared[-1] == 255 - first
    steps = np.diff(prepared)
    assert (steps <= 0).all() if first else (steps >= 0).all()


def test_deep_images_that_cannot_be_read_right_are_refused_in_one_line(run, raw, tmp_path):
    holes = np.full((40, 40), 0.5, np.float32)
    holes[3, 3] = np.nan
    broken = save(raw / "NORMAL/holes.tif", holes)
    with pytest.raises(UserError, match="holes.tif: values that are no finite numbers"):
        run(sixteen_bit="scale")
    broken.unlink()
    # A PNG of 16 bits in colour with values up to 4095: Pillow keeps the upper 8 bits, of which 16 levels are used.
    colour = np.random.default_rng(0).integers(0, 4096, (40, 40, 3)).astype(">u2")
    write_deep_colour(raw / "NORMAL/colour.png", colour)
    with pytest.raises(UserError, match=r"colour.png: 16 bits in colour \(mode RGB\).* of \[0, 3855\] 15 levels"):
        run(sixteen_bit="scale")
    write_deep_colour(raw / "NORMAL/colour.png", colour * 16)
    table, checks, _ = run(sixteen_bit="scale")
    assert "NORMAL/colour.png" in set(table.source) and checks["colour_to_luminance"] == 1


def write_deep_colour(path, pixels: np.ndarray) -> None:
    """Write (height, width, 3) big-endian 16-bit values as a PNG, which Pillow cannot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def test_two_valued_images_and_facts_that_tell_the_label_are_reported_loudly(run, raw, caplog):
    save(raw / "NORMAL/mask.png", (texture(5) > 128) * np.uint8(255))
    disc = (np.hypot(*np.mgrid[-20:20, -20:20]) < 12) * np.uint8(255)
    save(raw / "NORMAL/disc.jpg", disc, quality=90)
    save(raw / "NORMAL/spot.png", np.where(disc, texture(6) // 2 + 100, 3).astype(np.uint8))
    for index in range(8):
        save(raw / "NORMAL" / f"n{index}.png", texture(100 + index))
        save(raw / "PNEUMONIA" / f"n{index}.jpg", np.dstack([texture(200 + index)] * 3))
    _, checks, out = run()
    assert checks["two_valued"] == 2 and checks["label_told_by_file_facts"] > 0
    told = {row["fact"] for row in read_json(out / "integrity.json")["file_facts"] if row["above_chance"]}
    assert {"mode", "codec"} <= told
    loud = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert any("mine NORMAL: two valued, 2: kept as images" in line for line in loud)
    assert any("label can be told, without looking at the picture, by" in line and "AUC" in line for line in loud)


def test_recognised_masks_are_united_resized_and_stand_for_an_object(run, raw):
    one, other = np.zeros((40, 40), np.uint8), np.zeros((80, 80), np.uint8)
    one[:10], other[60:] = 255, 255
    save(raw / "NORMAL/p0_0_mask.png", one)
    save(raw / "NORMAL/p0_0_mask_1.png", other)
    table, checks, out = run(size=40)
    assert len(table) == 6 and checks["masks_recognised"] == 1 and checks["mask_resized"] == 1
    mask = read_gray(out / table[table.source == "NORMAL/p0_0.png"].mask_file.iloc[0])
    assert (
        set(np.unique(mask)) == {0, 1} and (mask[:10] == 1).all() and (mask[30:] == 1).all() and not mask[10:30].any()
    )
    save(raw / "NORMAL/p1_1_mask.jpg", np.where(texture(1) > 128, 255, 3).astype(np.uint8), quality=95)
    table, checks, out = run(size=40, mask_value=2)
    mask = read_gray(out / table[table.source == "NORMAL/p1_1.png"].mask_file.iloc[0])
    assert 0.3 < (mask == 2).mean() < 0.7, "what JPEG leaves around 0 is background"
    save(raw / "NORMAL/p2_2_mask.png", texture(3))
    _, checks, _ = run()
    assert checks["mask_of_many_values"] == 1
    save(raw / "NORMAL/p2_2_mask.png", one[:20])
    with pytest.raises(UserError, match="p2_2.png: its mask has"):
        run()


def test_the_paths_of_users_are_understood(run, raw, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(raw.parent))
    mask = np.ones((40, 40), np.uint8)
    save(tmp_path / "elsewhere/NORMAL/p0_0.png", mask)
    table, _, _ = run(path="~/my images", masks=str(tmp_path / "elsewhere"))
    assert (table.mask_file != "").sum() == 1 and len(table) == 6
    assert ((table.mask_sha256 != "") == (table.mask_file != "")).all()


def test_alpha_colour_constant_and_small_are_counted(run, raw):
    gray = texture(70)
    save(raw / "NORMAL" / "alpha.png", np.dstack([gray, gray, gray, texture(71)]))
    save(raw / "NORMAL" / "gray_rgb.png", np.dstack([texture(72)] * 3))
    save(raw / "NORMAL" / "colour.png", np.dstack([texture(73), texture(74), texture(75)]))
    save(raw / "NORMAL" / "flat.png", np.full((40, 40), 9, dtype=np.uint8))
    save(raw / "NORMAL" / "small.png", texture(76, (15, 60)))
    table, checks, out = run(size=40)
    assert len(table) == 10 and "NORMAL/flat.png" not in set(table.source)
    uncounted = {"patient_unknown", "files_seen"}
    assert {name: count for name, count in checks.items() if count and name not in uncounted} == {
        "alpha_dropped": 1,
        "colour_to_luminance": 1,
        "constant": 1,
        "too_small": 1,
    }
    # What is below the alpha channel is kept as it is.
    assert (read_gray(out / table[table.source == "NORMAL/alpha.png"].file.iloc[0]) == gray).all()


def test_exact_duplicates_share_a_group_and_are_counted(run, raw):
    save(raw / "NORMAL" / "copy.bmp", texture(1))
    save(raw / "PNEUMONIA" / "wrong.png", texture(2))
    table, checks, _ = run()
    groups = table.set_index("source").near_duplicate_group
    assert groups["NORMAL/copy.bmp"] == groups["NORMAL/p1_1.png"] != ""
    assert groups["PNEUMONIA/wrong.png"] == groups["NORMAL/p2_2.png"] != groups["NORMAL/copy.bmp"]
    assert (groups == "").sum() == 4
    assert checks["exact_duplicates"] == 2 and checks["near_duplicates"] == 0
    assert checks["duplicates_in_two_classes"] == 2


def test_masks_mirror_the_names(run, raw):
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[10:31, 10:31] = 255
    save(raw / "masks" / "NORMAL" / "p0_0.png", mask)
    with pytest.raises(UserError, match="NORMAL/p0_0.png: its mask .* has values up to 255"):
        run(masks="masks")
    table, checks, out = run(masks="masks", mask_value=2, size=27)
    files = table.set_index("source").mask_file
    assert (files != "").sum() == 1 and checks["mask_missing"] == 5
    prepared = read_gray(out / files["NORMAL/p0_0.png"])
    assert set(np.unique(prepared)) == {0, 2} and (prepared[7:20, 7:20] == 2).all()


def test_masks_of_any_case_are_found_and_none_is_an_error(run, raw):
    save(raw / "masks" / "p9_0.png", np.ones((40, 40), dtype=np.uint8))
    with pytest.raises(UserError, match="^masks: .*masks has no mask of any image, expected files such as NORMAL/p0_0"):
        run(masks="masks")
    for name in ("NORMAL/p0_0.PNG", "PNEUMONIA/p4_1.Tif"):
        save(raw / "masks" / name, np.ones((40, 40), dtype=np.uint8))
    table, checks, _ = run(masks="masks")
    assert set(table.source[table.mask_file != ""]) == {"NORMAL/p0_0.png", "PNEUMONIA/p4_1.png"}
    assert checks["mask_missing"] == 4


def test_mask_of_another_size_is_refused(run, raw):
    save(raw / "masks" / "NORMAL" / "p0_0.png", np.ones((20, 20), dtype=np.uint8))
    with pytest.raises(UserError, match="p0_0.png: its mask has"):
        run(masks="masks")


def test_fit_pad_crop_squash():
    wide = Image.fromarray(np.full((20, 40), 200, dtype=np.uint8))
    wide.paste(100, (0, 0, 10, 20))
    padded, cropped, squashed = (
        np.asarray(Geometry(40, 20, 20, fit).of_image(wide, Image.Resampling.BOX)) for fit in ("pad", "crop", "squash")
    )
    assert (padded[:5] == 0).all() and (padded[15:] == 0).all() and (padded[5:15, 5:] == 200).all()
    assert (cropped == 200).all()
    assert (squashed[:, :5] == 100).all() and (squashed[:, 5:] == 200).all()


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    pixels = np.tile(np.repeat(np.array([30, 220], dtype=np.uint8), 16), (16, 1))
    path = save(tmp_path / "turned.jpg", pixels, exif=exif, quality=100)
    with Image.open(path) as image:
        gray, _ = to_gray(image)
    upright = np.asarray(gray)
    assert upright.shape == (32, 16) and upright[:12].mean() < 60 and upright[-12:].mean() > 190


def test_image_ids_are_safe_unique_and_stable():
    sources = ["a b/x.png", "a_b/x.png", "c/y.jpg", "c/Y.png", "d/é.png", "e/" + "long" * 60 + ".png", "f/1.2.png"]
    ids = image_ids(sources)
    assert len({name.lower() for name in ids}) == len(ids)
    assert all(name.isascii() and " " not in name and "/" not in name and len(name) < 140 for name in ids)
    assert ids[-1] == "f-1.2"
    # An id depends on colliding names only, not on the order.
    assert image_ids(sources[::-1]) == ids[::-1]
    assert image_ids(["c/y.jpg"]) == ["c-y"]


def test_manifest_schema_names_row_and_column(tmp_path):
    row = {"image_id": "x", "file": "images/x.png", "mask_file": "", "label": "N", "patient_id": "", "source": "x.png"}
    row |= {"sha256": "0" * 64, "mask_sha256": "", "near_duplicate_group": ""}
    write_manifest(tmp_path / "manifest.csv", [row])
    for column, bad in (("sha256", "12"), ("file", "../x.png"), ("label", ""), ("image_id", "a b")):
        with pytest.raises(UserError, match=rf"row 1 \(x.png\), {column}"):
            write_manifest(tmp_path / "bad.csv", [{**row, column: bad}])
    with pytest.raises(UserError, match="image_id 'x' occurs more than once"):
        write_manifest(tmp_path / "bad.csv", [row, {**row, "source": "y.png"}])
    assert not (tmp_path / "bad.csv").exists()


def test_a_mask_beside_an_image_changes_nothing_about_its_file(run, raw):
    """Whose depth and mode are known only before it is read; else a mask beside one class would tell the label."""
    for index in range(8):
        save(raw / "NORMAL" / f"n{index}.png", texture(100 + index))
        save(raw / "NORMAL" / f"n{index}_mask.png", np.eye(40, dtype=np.uint8))
        save(raw / "PNEUMONIA" / f"n{index}.png", texture(200 + index))
    _, _, out = run()
    assert not [row for row in read_json(out / "integrity.json")["file_facts"] if row["fact"] == "mode"]
    write_deep_colour(raw / "NORMAL/n0.png", np.random.default_rng(0).integers(0, 65536, (40, 40, 3)).astype(">u2"))
    with pytest.raises(UserError, match="n0.png: 16 bits or more"):
        run()


def test_jpeg_images_that_are_taken_for_masks_are_reported(run, raw):
    square = np.zeros((40, 40), np.uint8)
    square[10:30, 10:30] = 255
    save(raw / "NORMAL/p0_0_mask.jpg", square, quality=60)
    assert run()[1]["mask_of_many_values"] == 0
    save(raw / "NORMAL/p1_1_seg.jpg", texture(8), quality=90)
    assert run()[1]["mask_of_many_values"] == 1


def test_a_gray_level_that_is_transparent_leaves_16_bits_as_they_are():
    deep = Image.fromarray(np.linspace(0, 4095, 1600).reshape(40, 40).astype(np.uint16))
    deep.info["transparency"] = 1
    gray, notes = to_gray(deep, (0, 4095))
    assert np.asarray(gray)[0, 0] == 0 and np.asarray(gray)[20, 0] == 128 and "alpha_dropped" in notes
