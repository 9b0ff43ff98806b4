"""The stand-in of VinDr-Mammo: reproducible, in its layout, read right, and with lesions where the boxes are."""

import ast

import numpy as np
import pandas as pd
import pydicom
import pytest
from radsynth.data.breast import ASPECT, GLANDULAR, Breast, Lesion, render, tissue
from radsynth.data.dicom import read_dicom
from radsynth.data.vindr_standin import (
    BREAST_COLUMNS,
    FINDING_COLUMNS,
    TABLES,
    draw_study,
    findings,
    write_standin,
)
from radsynth.data.vindr_tables import CATEGORIES

HEIGHT = 192
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # read by pydicom itself


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("standin")
    write_standin(folder, studies=6, seed=4, height=HEIGHT)
    return folder


def test_layout_tables_and_tags(folder):
    images, found, metadata = (pd.read_csv(folder / name, dtype=str, keep_default_na=False) for name in TABLES)
    assert tuple(images.columns) == BREAST_COLUMNS and tuple(found.columns) == FINDING_COLUMNS
    header = (folder / TABLES[2]).read_text().splitlines()[0].split(",")
    assert len(header) == 21 and header.count("SOP Instance UID") == 2
    assert len(images) == len(metadata) == 24 and images["image_id"].is_unique
    assert list(images["split"]) == ["training"] * 16 + ["test"] * 4 + ["training"] * 4
    assert sorted(zip(images["laterality"], images["view_position"], strict=True))[:6] == [("L", "CC")] * 6
    for row in images.itertuples():
        header = pydicom.dcmread(folder / "images" / row.study_id / f"{row.image_id}.dicom")
        assert (header.SOPInstanceUID, header.StudyInstanceUID) == (row.image_id, row.study_id)
        assert len(row.image_id) == 32 and header.ImageLaterality == row.laterality
        assert (header.Rows, header.Columns) == (int(row.height), int(row.width)) == (HEIGHT, round(ASPECT * HEIGHT))
        assert header.BitsStored == 12 and header.pixel_array.max() <= 4095 and header.Manufacturer == "radsynth"
        for dropped in ("SOPClassUID", "PatientID", "PatientName", "StudyDate", "PatientBirthDate"):
            assert dropped not in header
    for row in found.itertuples():
        named = ast.literal_eval(row.finding_categories)
        assert named == ["No Finding"] or set(named) <= set(CATEGORIES)
        assert (row.xmin == "") == (named == ["No Finding"]) == (row.finding_birads == "")
    assert set(found["image_id"]) == set(images["image_id"])
    by_image = dict(zip(metadata["SOP Instance UID"], metadata["Patient's Age"], strict=True))
    ages = images["image_id"].map(by_image).groupby(images["study_id"]).unique()
    assert all(len(age) == 1 for age in ages) and "035Y" <= max(map(max, ages)) <= "079Y", "one of each study"
    assert set(metadata["Photometric Interpretation"]) == {"MONOCHROME1", "MONOCHROME2"}


def test_both_polarities_are_read_as_bright_tissue_on_black(folder):
    polarities = set()
    for path in sorted(folder.glob("images/*/*.dicom")):
        image = read_dicom(path)
        polarities.add(pydicom.dcmread(path, specific_tags=["PhotometricInterpretation"]).PhotometricInterpretation)
        chest, far = (image.pixels[:, :10], image.pixels[:, -10:])
        if image.laterality == "R":
            chest, far = far, chest
        assert np.median(chest[HEIGHT // 4 : -HEIGHT // 4]) > 0.08 and np.median(far) < 0.03
        assert image.view in ("CC", "MLO") and 0.02 < 1 - image.valid.mean() < 0.6, "a padded strip beside the breast"
    assert len(polarities) == 2


def test_the_same_seed_gives_the_same_files_and_others_differ(folder, tmp_path):
    write_standin(tmp_path / "fewer", studies=2, seed=4, height=HEIGHT)
    write_standin(tmp_path / "other", studies=1, seed=5, height=HEIGHT)
    drawn = sorted(path.relative_to(tmp_path / "fewer") for path in (tmp_path / "fewer").glob("images/*/*"))
    assert len(drawn) == 8
    assert all((folder / path).read_bytes() == (tmp_path / "fewer" / path).read_bytes() for path in drawn)
    for name in TABLES:
        assert (folder / name).read_text().startswith((tmp_path / "fewer" / name).read_text())
    assert not list((tmp_path / "other").glob(f"images/{drawn[0].parent.name}"))


@pytest.mark.parametrize("kind", ["mass", "asymmetry", "calcifications", "coarse"])
@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_a_lesion_is_inside_its_box_and_brighter(kind, view):
    """The same breast with and without the lesion differs in the box, and next to nothing outside."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        breast = Breast.sample(rng, "B")
        lesion = Lesion(kind, rng.uniform(0.2, 0.8), rng.uniform(-0.8, 0.8), 0.05, 0.3, 0.5)
        none = Lesion(kind, lesion.depth, lesion.across, 0.05, 0.0, 0.5)
        drawn = [render(breast, view, [one], np.random.default_rng(9), 256) for one in (lesion, none)]
        (film, [box]), (plain, _) = drawn
        xmin, ymin, xmax, ymax = (round(corner) for corner in box)
        added = np.clip(film - plain, 0, None)
        inside = added[max(ymin, 0) : ymax, max(xmin, 0) : xmax]
        # Spicules and soft edges reach beyond the box, as annotators frame the body.
        assert inside.sum() > (0.7 if kind in ("mass", "asymmetry") else 0.9) * added.sum() > 0
        assert inside.max() > 0.1


def test_denser_categories_have_more_glandular_tissue():
    assert [low for low, _ in GLANDULAR.values()] == sorted(low for low, _ in GLANDULAR.values())
    y, x = (np.mgrid[:128, :102] + 0.5) / 128
    inside = (x / 0.5) ** 2 + ((y - 0.5) / 0.4) ** 2 < 1
    means = []
    for density in "AD":
        breast = Breast.sample(np.random.default_rng(0), density)
        drawn = [tissue(breast, inside, x, y, 0.5, np.random.default_rng(seed))[inside].mean() for seed in range(4)]
        means.append(np.mean(drawn))
    assert means[1] > 2 * means[0]


def test_higher_birads_means_more_and_larger_findings():
    rng = np.random.default_rng(0)
    drawn = {birads: [finding for _ in range(200) for finding in findings(rng, birads)] for birads in range(1, 6)}
    for birads, found in drawn.items():
        annotated = [finding for finding in found if finding.categories]
        assert bool(annotated) == (birads >= 3) and {finding.birads for finding in annotated} <= {birads}
        assert any(not finding.categories for finding in found), "benign structures in breasts of every category"
    masses = {birads: [f.lesions[0] for f in drawn[birads] if f.categories == ("Mass",)] for birads in (3, 5)}
    for name in ("radius", "contrast", "spiculation"):
        low, high = (np.mean([getattr(lesion, name) for lesion in masses[birads]]) for birads in (3, 5))
        assert high > 1.2 * low
    assert len(drawn[5]) > len(drawn[3])


def test_both_views_of_a_breast_share_its_lesions():
    for index in range(6):
        breasts = {}
        for _, row, found in draw_study(1, index, 128):
            categories = [one["finding_categories"] for one in found if "xmin" in one]
            breasts.setdefault(row["laterality"], []).append((row["breast_birads"], categories))
        for views in breasts.values():
            assert views[0][0] == views[1][0]
            assert set(views[0][1]) <= set(views[1][1]) or set(views[1][1]) <= set(views[0][1]) or len(views[0][1]) > 1
