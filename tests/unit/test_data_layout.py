"""Which files below a folder are images of which class and split, which are masks, and that the others are counted."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.data import layout
from radsynth.data.layout import read_layout
from radsynth.data.listing import fingerprint, printable, walk
from radsynth.data.patients import match_patients
from radsynth.data.source import load_source

CLASSES = {"A": "A", "B": "B"}


def put(root: Path, *names: str) -> Path:
    """Write an image under each name, all different."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = sum(map(ord, name))
        pixels = np.random.default_rng(seed).integers(0, 256, (9, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(path, format="PNG")
    return root


def seen(root: Path, classes=CLASSES, **options):
    """Return name: (label, split, masks) of the images, and the counts of what was left out."""
    found = read_layout(root, classes, **options)
    images = {
        image.entry.name: (image.label, image.split, [mask.relative_to(root).as_posix() for mask in image.masks])
        for image in found.images
    }
    left: dict[str, int] = {}
    for (check, _), files in found.left.items():
        left[check] = left.get(check, 0) + len(files)
    apart = sum(count for check, count in left.items() if check not in ("links", "named_like_mask"))
    assert len(images) + found.n_masks + apart == len(found.seen), "every file is counted once"
    return images, left


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (["train", "val", "test"], ["train", "val", "test"]),
        (["Training", "Testing"], ["Training", "Testing"]),
        (["set/images/Train_set", "set/images/Validation"], ["Train_set", "Validation"]),
        (["data/train/images", "data/test/images"], ["train", "test"]),
    ],
)
def test_parts_of_a_split_are_all_read_and_named(tmp_path, folders, splits):
    for folder in folders:
        put(tmp_path, f"{folder}/A/1.png", f"{folder}/B/1.png")
    images, _ = seen(tmp_path)
    assert len(images) == 2 * len(folders)
    assert [image[1] for image in images.values() if image[0] == "A"] == splits


def test_a_split_below_the_class_is_one_too(tmp_path):
    images, _ = seen(put(tmp_path, "A/train/1.png", "A/test/2.png", "B/train/3.png", "B/p7/4.png"))
    assert [image[:2] for image in images.values()] == [("A", "train"), ("A", "test"), ("B", "train"), ("B", "")]


@pytest.mark.parametrize("folders", [["a", "b"], ["", "train"], ["train", "old/train"]])
def test_class_folders_in_several_places_stop_with_all_their_names(tmp_path, folders):
    for folder in folders:
        put(tmp_path / folder, "A/1.png", "B/1.png")
    with pytest.raises(UserError, match="in several places") as caught:
        seen(tmp_path)
    assert all((folder or ".") in str(caught.value) for folder in folders) and "exclude" in str(caught.value)
    if folders == ["a", "b"]:
        images, left = seen(tmp_path, exclude=["b"])
        assert set(images) == {"a/A/1.png", "a/B/1.png"} and left == {"excluded": 2}


def test_what_stands_in_no_class_folder_is_counted(tmp_path):
    put(tmp_path, "A/1.png", "B/1.png", "C/1.png", "cover.png")
    images, left = seen(tmp_path)
    assert len(images) == 2 and left == {"outside_classes": 2}


@pytest.mark.parametrize(
    "mask",
    [
        *("A/x_mask.png", "A/x_segmentation.png", "A/x-Mask.bmp", "A/x_lung_mask.png", "A/mask_x.png", "A/x_gt.png"),
        *("A/masks/x.png", "A/GroundTruth/x_mask.png", "masks/A/x.png", "Ground truth/A/x.png", "annotations/x.png"),
    ],
)
def test_a_mask_is_known_by_its_name_or_folder(tmp_path, mask):
    images, left = seen(put(tmp_path, "A/x.png", "A/y.png", "B/z.png", mask))
    assert images == {"A/x.png": ("A", "", [mask]), "A/y.png": ("A", "", []), "B/z.png": ("B", "", [])}
    assert not left


def test_masks_stand_beside_a_folder_of_images_and_several_of_one_image_are_kept(tmp_path):
    put(tmp_path, "A/images/x.png", "A/lung masks/x.png", "A/infection masks/x.png", "B/images/x.png", "B/masks/x.png")
    images, _ = seen(tmp_path)
    assert images["A/images/x.png"][2] == ["A/infection masks/x.png", "A/lung masks/x.png"]
    assert images["B/images/x.png"][2] == ["B/masks/x.png"] and len(images) == 2


def test_ground_truth_beside_the_images_is_no_second_set_and_goes_with_its_split(tmp_path):
    put(tmp_path, "images/A/x.png", "images/B/y.png", "GroundTruth/A/x_segmentation.png")
    assert seen(tmp_path)[0]["images/A/x.png"][2] == ["GroundTruth/A/x_segmentation.png"]
    other = tmp_path / "other"
    put(other, "train/A/x.png", "test/A/x.png", "train/B/y.png", "train_masks/A/x.png", "test_masks/A/x.png")
    images, _ = seen(other)
    assert images["train/A/x.png"] == ("A", "train", ["train_masks/A/x.png"])
    assert images["test/A/x.png"] == ("A", "test", ["test_masks/A/x.png"])


def test_masks_without_images_are_left_out_and_names_alone_are_reported(tmp_path):
    put(tmp_path, "A/x.png", "A/x_mask.png", "A/gone_mask.png", "B/y.png", "B/masks/gone.png")
    images, left = seen(tmp_path)
    assert set(images) == {"A/x.png", "B/y.png"} and left == {"mask_without_image": 2}
    # Nothing tells that these are masks: face-mask images are called so.
    other = put(tmp_path / "other", "with mask/with_mask_1.png", "without mask/1.png")
    images, left = seen(other, {"A": "with mask", "B": "without mask"})
    assert len(images) == 2 and left == {"named_like_mask": 1}
    images, left = seen(put(tmp_path / "faces", "mask/1.png", "plain/1.png"), {"A": "mask", "B": "plain"})
    assert len(images) == 2 and not left


def test_a_class_inside_another_stops_with_both(tmp_path):
    put(tmp_path, "A/1.png", "B/1.png", "A/old/B/2.png")
    with pytest.raises(UserError, match="A/old/B: the class folder of B stands inside that of A; move it, or"):
        seen(tmp_path)
    images, left = seen(tmp_path, exclude=["old"])
    assert len(images) == 2 and left == {"excluded": 1}


def test_a_part_of_a_split_without_class_folders_is_reported(tmp_path):
    put(tmp_path, "train/A/1.png", "train/B/1.png", "val/A/2.png", "val/B/2.png", "test/3.png", "cover.png")
    images, left = seen(tmp_path)
    assert len(images) == 4 and left == {"split_without_classes": 1, "outside_classes": 1}


def test_include_and_exclude(tmp_path):
    put(tmp_path, "A/1_front.png", "A/1_side.png", "B/old/1_front.png", "B/2_front.png", "B/2_front_mask.png")
    images, left = seen(tmp_path, include=["*_front.png"], exclude=["old"])
    assert set(images) == {"A/1_front.png", "B/2_front.png"} and left == {"excluded": 2}
    assert images["B/2_front.png"][2] == ["B/2_front_mask.png"]


def test_links_are_followed_once_and_dead_ones_counted(tmp_path):
    root = put(tmp_path / "raw", "A/1.png", "B/1.png")
    put(tmp_path / "store", "p1/1.png", "p1/2.png")
    (root / "A/p1").symlink_to(tmp_path / "store/p1")
    (root / "A/gone.png").symlink_to(tmp_path / "nothing.png")
    (root / "A/gone").symlink_to(tmp_path / "nothing")
    (root / "A/self").symlink_to(root / "A/self")
    (root / "B/loop").symlink_to(root)
    (root / "B/again").symlink_to(root / "B")
    images, left = seen(root)
    assert set(images) == {"A/1.png", "A/p1/1.png", "A/p1/2.png", "B/1.png"}
    assert left == {"links": 2, "unreadable": 3, "linked_again": 2}


def test_a_class_folder_may_be_a_link(tmp_path):
    put(tmp_path / "store", "A/1.png", "B/1.png")
    (tmp_path / "raw").mkdir()
    for label in CLASSES:
        (tmp_path / "raw" / label).symlink_to(tmp_path / "store" / label)
    before = fingerprint(tmp_path / "raw")
    assert set(seen(tmp_path / "raw")[0]) == {"A/1.png", "B/1.png"}
    put(tmp_path / "store", "A/2.png")
    assert fingerprint(tmp_path / "raw") != before


def test_hidden_files_and_thumbnails_are_passed_over(tmp_path):
    put(tmp_path, "A/1.png", "B/1.png", "A/.ipynb_checkpoints/1.png", "A/@eaDir/1.png/thumb.png", "__MACOSX/A/1.png")
    put(tmp_path, "#recycle/B/1.png", "A/._1.png")
    images, left = seen(tmp_path)
    assert len(images) == 2 and left == {"passed_over": 5}


def test_files_of_other_suffixes_are_read_where_pillow_can_and_counted_where_not(tmp_path):
    put(tmp_path, "A/1.webp", "A/2.gif", "A/3.jfif", "A/4", "A/5.IMG", "A/6.JP2", "B/1.png")
    (tmp_path / "A/notes.txt").write_text("no image")
    (tmp_path / "A/scan").write_bytes(bytes(128) + b"DICM" + bytes(9))
    (tmp_path / "B/scan.dcm").write_bytes(b"x")
    images, left = seen(tmp_path)
    assert len(images) == 7 and left == {"not_an_image": 3}
    source = load_source({"source": "folder", "path": str(tmp_path)}, ["A", "B"])
    assert source.remarks()["not_an_image"].startswith("not used: 2 DICOM, 1 .txt; DICOM files are read by")


def test_a_class_that_holds_no_image_says_what_it_holds(tmp_path):
    put(tmp_path, "A/1.png")
    (tmp_path / "B").mkdir()
    (tmp_path / "B/1.dcm").write_bytes(b"x")
    with pytest.raises(UserError, match="B: empty class folder for label B, .* it holds 1 DICOM; DICOM files are read"):
        seen(tmp_path)
    with pytest.raises(UserError, match=r"a: no such class folder for label A; .* write classes: \{A: A\}"):
        seen(tmp_path, {"A": "a"})


def test_names_that_are_no_text_are_escaped(tmp_path):
    put(tmp_path, "A/1.png", "B/1.png")
    (tmp_path / "A/1.png").rename(os.fsdecode(os.fsencode(tmp_path / "A") + b"/M\xfcller\n.png"))
    images, _ = seen(tmp_path)
    assert set(images) == {"A/M\\xfcller\\n.png", "B/1.png"}
    assert printable("Müller 1.png") == "Müller 1.png"


def test_the_patient_is_found_below_the_class_folder(tmp_path):
    put(tmp_path, "A/patient_003/img0.png", "A/sub/00017_2.png", "B/patient_004/1.png")
    dataset = {"source": "folder", "path": str(tmp_path), "patient_pattern": r"patient_(\d+)/|^(?P<patient>\d+)_"}
    with pytest.raises(UserError, match="patient_pattern"):
        load_source({**dataset, "patient_pattern": r"patient_(\d+)/"}, ["A", "B"]).records(32, 1)
    one = load_source({**dataset, "patient_pattern": r"(?:patient_|^)(\d+)"}, ["A", "B"]).records(32, 1)
    assert [record.patient_id for record in one] == ["003", "00017", "004"]


def test_a_pattern_that_would_take_forever_is_stopped():
    assert match_patients(r"^(\d+)_", ["7_1.png", "p/8_2.png", "x.png", "\udcfc/9_1.png"]) == ["7", "8", None, "9"]
    with pytest.raises(UserError, match=r"^patient_pattern: .* is not done with 1 names after 1 s"):
        match_patients(r"((a+)+)$", ["a" * 60 + "!"], seconds=1)


def test_the_fingerprint_tells_every_change_but_hidden_ones(tmp_path):
    put(tmp_path, "A/1.png", "A/2.png", "B/1.png")
    known = {fingerprint(tmp_path)}

    def changed() -> bool:
        before = len(known)
        known.add(fingerprint(tmp_path))
        return len(known) > before

    assert not changed()
    (tmp_path / ".DS_Store").write_text("x")
    assert not changed()
    put(tmp_path, "A/3.png")
    assert changed()
    os.utime(tmp_path / "A/3.png", (1, 1))
    assert changed()
    (tmp_path / "A/3.png").rename(tmp_path / "A/4.png")
    assert changed()
    (tmp_path / "A/4.png").write_bytes(b"other size")
    os.utime(tmp_path / "A/4.png", (1, 1))
    assert changed()
    (tmp_path / "A/4.png").unlink()
    assert not changed(), "as it was"
    assert fingerprint(tmp_path / "nothing") == "" and fingerprint(tmp_path / "A/1.png") != ""


def test_folders_come_in_order_whatever_the_disk_says(tmp_path, monkeypatch):
    put(tmp_path, "A/b/1.png", "A/a/1.png", "A/1.png", "B/1.png")
    names = [entry.name for entry in walk(tmp_path)]
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: reversed(list(scan(path))))
    assert [entry.name for entry in walk(tmp_path)] == names == ["A/1.png", "A/a/1.png", "A/b/1.png", "B/1.png"]


def test_a_mask_never_goes_to_an_image_of_another_class_or_split(tmp_path):
    put(tmp_path, "A/images/1.png", "B/images/2.png", "B/masks/1.png")
    images, left = seen(tmp_path)
    assert not images["A/images/1.png"][2] and left == {"mask_without_image": 1}
    other = put(tmp_path / "other", "train/A/1.png", "train/B/1.png", "test/A/x.png", "test/B/y.png")
    put(other, "train/masks/A/x.png", "train_masks/B/y.png")
    images, left = seen(other)
    assert not images["test/A/x.png"][2] and not images["test/B/y.png"][2] and left == {"mask_without_image": 2}


def test_a_file_called_mask_is_that_of_the_only_image_beside_it(tmp_path):
    put(tmp_path, "A/p1/image.png", "A/p1/mask.png", "A/p2/scan.png", "A/p2/masks/seg_1.png", "B/1.png", "B/2.png")
    images, left = seen(put(tmp_path, "B/gt.png"))
    assert images["A/p1/image.png"][2] == ["A/p1/mask.png"] and images["A/p2/scan.png"][2] == ["A/p2/masks/seg_1.png"]
    assert len(images) == 4 and left == {"mask_without_image": 1}


def test_what_include_does_not_fit_is_no_image_whatever_it_is_called(tmp_path):
    put(tmp_path, "A/a1.png", "B/b1.png", "A/z_gt.png", "A/z.png", "A/q_gt.png", "B/masks/c2.png", "B/c2.png")
    images, left = seen(tmp_path, include=["a*.png", "b*.png"])
    assert set(images) == {"A/a1.png", "B/b1.png"} and left == {"excluded": 5}


def test_a_configured_folder_of_masks_is_counted_once_and_exclude_holds_there(tmp_path):
    put(tmp_path, "A/1.png", "B/1.png", "masks/A/1.png", "masks/A/1_old.png", "masks/B/2.png", "masks/B/.1.png")
    (tmp_path / "masks/notes.txt").write_text("no mask")
    (tmp_path / "masks/B/1.png").symlink_to(tmp_path / "nothing.png")
    images, left = seen(tmp_path, mask_folder=tmp_path / "masks", exclude=["*_old*"])
    assert images["A/1.png"][2] == ["masks/A/1.png"] and not images["B/1.png"][2]
    assert left == {"excluded": 1, "mask_without_image": 1, "passed_over": 1, "not_an_image": 1, "unreadable": 1}


@pytest.mark.parametrize("store", [".store", "store"])
def test_class_folders_may_be_links_into_a_folder_that_is_not_looked_at(tmp_path, store):
    put(tmp_path, f"{store}/A/1.png", "B/1.png")
    (tmp_path / "A").symlink_to(tmp_path / store / "A")
    images, _ = seen(tmp_path, exclude=["store"])
    assert set(images) == {"A/1.png", "B/1.png"}


def test_a_folder_without_permission_stops_only_if_it_is_looked_at(tmp_path, monkeypatch):
    put(tmp_path, "A/1.png", "B/1.png", "lost+found/1.png", "old/1.png")
    scan = os.scandir

    def closed(path):
        if Path(path).name in ("lost+found", "old"):
            raise PermissionError(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(UserError, match="old: no permission to read the folder"):
        seen(tmp_path)
    assert seen(tmp_path, exclude=["old"])[1] == {"passed_over": 1, "excluded": 1}


def test_folders_of_thumbnails_are_passed_over_and_code_is_no_second_place(tmp_path):
    put(tmp_path, "data/A/1.png", "data/B/1.png", "data/A/thumbnails/1.png", "data/B/Thumbs/1.png")
    (tmp_path / "scripts/A").mkdir(parents=True)
    (tmp_path / "scripts/A/run.py").write_text("no image")
    images, left = seen(tmp_path)
    assert set(images) == {"data/A/1.png", "data/B/1.png"} and left == {"passed_over": 2, "not_an_image": 1}


def test_letters_with_accents_are_the_same_however_they_are_written(tmp_path):
    composed, apart = "M\u00fcller", "Mu\u0308ller"
    for label, folder in [(composed, apart), (apart, composed)]:
        images, _ = seen(put(tmp_path / label, f"{folder}/1.png", "B/1.png"), {label: label, "B": "B"})
        assert len(images) == 2


def test_messages_say_what_to_do_and_stay_short(tmp_path):
    put(tmp_path / "spaces", "A /1.png", "B/1.png")
    with pytest.raises(UserError, match='write classes: {A: "A "}'):
        seen(tmp_path / "spaces")
    put(tmp_path / "plain", "A/1.png", "B/1.png")
    with pytest.raises(UserError, match="label A, .* include and exclude leave out 1 files"):
        seen(tmp_path / "plain", include=["*_frontal.png"])
    with pytest.raises(UserError, match="label B, .* include and exclude leave out 1 files"):
        seen(tmp_path / "plain", exclude=["B"])
    put(tmp_path / "patients", *(f"p{i}/1.png" for i in range(30)))
    with pytest.raises(UserError, match=r"\(30 folders\)") as caught:
        seen(tmp_path / "patients")
    assert str(caught.value).count(", p") < 10
    for i in range(30):
        (tmp_path / f"plain/A/1.2.{i}").write_text("no image")
    source = load_source({"source": "folder", "path": str(tmp_path / "plain")}, ["A", "B"])
    assert source.remarks()["not_an_image"].endswith("30 of other suffixes")


def test_the_columns_are_looked_for_once(tmp_path, monkeypatch):
    """Not for each image: 100,000 images would take hours."""
    put(tmp_path, *(f"{label}/{i}.png" for label in "AB" for i in range(20)))
    source = load_source({"source": "folder", "path": str(tmp_path)}, ["A", "B"])
    asked = []
    monkeypatch.setattr(layout.Listed, "split", property(lambda self: asked.append(self) or ""), raising=False)
    source.__dict__["layout"] = layout.Layout(images=[layout.Listed.__new__(layout.Listed) for _ in range(40)])
    for image in source.layout.images:
        assert source.extra(image) == {}
    assert len(asked) == 40


def test_masks_that_stand_elsewhere_have_their_part_in_the_fingerprint(tmp_path):
    put(tmp_path / "raw", "A/1.png")
    masks = put(tmp_path / "masks", "A/1.png")
    before = fingerprint(tmp_path / "raw", masks)
    assert before == fingerprint(tmp_path / "raw", "../masks")
    put(masks, "A/2.png")
    assert fingerprint(tmp_path / "raw", masks) != before
