"""Procedural and real mammograms: where the breast is, and whether lesions can be learnt, but not read off."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from radsynth.data.breast_crop import breast_box, chest_wall
from radsynth.data.dicom import read_dicom
from radsynth.data.vindr_standin import write_standin
from radsynth.data.vindr_tables import read_tables
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def test_breast_box_leaves_the_marker_out():
    pixels = np.zeros((600, 480), dtype=np.uint8)
    pixels[100:500, :300] = 60
    pixels[20:60, 400:460] = 255
    left, upper, right, lower = breast_box(Image.fromarray(pixels))
    assert (left, upper) == (0, 92) and abs(right - 308) <= 2 and abs(lower - 508) <= 2
    assert breast_box(Image.fromarray(np.zeros((600, 480), dtype=np.uint8))) is None
    tiny = np.zeros((600, 480), dtype=np.uint8)
    tiny[:20, :20] = 200
    assert breast_box(Image.fromarray(tiny)) is None


def test_the_chest_wall_is_on_the_taller_side_even_of_dark_fat():
    pixels = np.zeros((600, 480), dtype=np.uint8)
    y, x = np.mgrid[:600, :480]
    inside = (x / 300) ** 2 + ((y - 300) / 250) ** 2 < 1
    pixels[inside] = 120
    pixels[inside & (x < 200) & (abs(y - 300) < 180)] = 0
    assert chest_wall(Image.fromarray(pixels), (0, 50, 300, 550)) == "L"
    assert chest_wall(Image.fromarray(pixels[:, ::-1].copy()), (180, 50, 480, 550)) == "R"


def test_no_lesion_of_a_real_mammogram_is_cut_off_and_its_side_is_found(shared_data):
    folder = shared_data / "cdd_cesm_dm_512"
    for row in pd.read_csv(folder / "manifest.csv").itertuples():
        with Image.open(folder / row.file) as image, Image.open(folder / row.mask) as mask:
            image, lesion = image.convert("L"), np.asarray(mask.convert("L")) > 0
        left, upper, right, lower = box = breast_box(image)
        assert lesion[upper:lower, left:right].sum() == lesion.sum(), row.file
        assert chest_wall(image, box) == row.side, row.file
        assert (right - left) * (lower - upper) < 0.9 * 512 * 512, row.file


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Images at 64 px of a stand-in, whether they are suspicious (BI-RADS 4 and 5 against 1 and 2), and their study."""
    folder = tmp_path_factory.mktemp("learnable")
    write_standin(folder, studies=80, seed=3, height=128)
    rows = [row for row in read_tables(folder).mammograms if row.birads != 3]
    images = []
    for row in rows:
        image = Image.fromarray(read_dicom(folder / row.source).to_uint8())
        images.append(np.asarray(image.reduce(2), dtype=np.float32) / 255)
    return np.stack(images), np.array([row.birads > 3 for row in rows]), [row.study for row in rows]


def test_no_single_number_tells_suspicious_images(small):
    images, suspicious, _ = small
    body = [image[image > 0.05] for image in images]
    statistics = {
        "mean": images.mean(axis=(1, 2)),
        "mean of the breast": [values.mean() for values in body],
        "area": [values.size for values in body],
        "spread": images.std(axis=(1, 2)),
        "texture": np.abs(np.diff(images, axis=1)).mean(axis=(1, 2)),
    }
    for name, values in statistics.items():
        assert 0.35 < roc_auc_score(suspicious, values) < 0.65, name
    assert roc_auc_score(suspicious, images.max(axis=(1, 2))) < 0.85


def test_suspicious_images_can_be_learnt_from_lesions_but_not_perfectly(small):
    """Spots at several scales, the classical lesion detector, in cross-validation over studies."""
    images, suspicious, studies = small
    spots = []
    for image in images:
        blurred = [gaussian_filter(image, sigma) for sigma in (0, 1, 2, 3, 4, 6)]
        bands = [(fine - coarse)[4:-4, 4:-4] for fine, coarse in zip(blurred, blurred[1:], strict=False)]
        spots.append([value for band in bands for value in (band.max(), np.percentile(band, 99), band.std())])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    scores = cross_val_predict(
        model, np.array(spots), suspicious, groups=studies, cv=GroupKFold(5), method="decision_function"
    )
    assert 0.6 < roc_auc_score(suspicious, scores) < 0.98
