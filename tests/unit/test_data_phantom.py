"""The procedural radiographs: reproducible, varied, with true masks, and hard to learn from a few."""

import numpy as np
import pytest
from radsynth.common.errors import UserError
from radsynth.data import phantom as phantom_source
from radsynth.data.duplicates import near_duplicate_pairs, thumbnail
from radsynth.data.phantom import LESION, LUNG, lesions, render
from radsynth.data.source import load_source
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

LABELS = ["NORMAL", "PNEUMONIA"]


def phantom(**options):
    return load_source({"source": "phantom", "fit": "pad", "images": {"NORMAL": 6, "PNEUMONIA": 5}, **options}, LABELS)


def pixels(record):
    return np.asarray(record.load().image)


def test_same_seed_same_image_and_other_seeds_differ():
    first, again, other = (phantom().records(32, seed) for seed in (5, 5, 6))
    assert all((pixels(a) == pixels(b)).all() for a, b in zip(first, again, strict=True))
    assert not any((pixels(a) == pixels(b)).all() for a, b in zip(first, other, strict=True))
    # Both the patient and the image depend on the seed.
    patient, image = zip(*(records[0].load.args[:2] for records in (first, other)), strict=True)
    assert len(set(patient)) == len(set(image)) == 2


def test_counts_labels_and_patients():
    records = phantom(images_per_patient=2).records(32, 5)
    assert [record.label for record in records] == ["NORMAL"] * 6 + ["PNEUMONIA"] * 5
    assert len({record.patient_id for record in records}) == 6
    assert len({record.source for record in records}) == 11


def test_more_images_leave_the_first_ones_as_they_are():
    few, many = phantom().records(32, 5), phantom(images={"NORMAL": 8, "PNEUMONIA": 9}).records(32, 5)
    named = {record.source: record for record in many}
    assert all((pixels(record) == pixels(named[record.source])).all() for record in few)


@pytest.mark.parametrize("size", [32, 64, 100, 128, 256])
def test_size_range_and_masks(size):
    for seed in range(3):
        image, labels = render(seed, seed, size, lesion=True)
        assert image.shape == labels.shape == (size, size) and image.dtype == labels.dtype == np.uint8
        assert set(np.unique(labels)) == {0, LUNG, LESION}
        assert 0.1 < (labels > 0).mean() < 0.5
        # Lungs are darker than what is around them in the middle of the image.
        middle = np.s_[size // 4 : 3 * size // 4]
        assert image[middle][labels[middle] == LUNG].mean() < image[middle][labels[middle] == 0].mean()


def test_a_lesion_brightens_its_place_only(monkeypatch):
    ill = [render(seed, seed, 128, lesion=True) for seed in range(12)]
    # The same images, exposure and noise included, with lesions of no density.
    monkeypatch.setattr(phantom_source, "lesions", lambda *given: 0 * lesions(*given))
    for seed, (image, labels) in enumerate(ill):
        healthy, lungs = render(seed, seed, 128, lesion=True)
        assert set(np.unique(lungs)) == {0, LUNG}
        assert ((labels > 0) == (lungs > 0)).all()
        gain = image.astype(int) - healthy
        assert gain.min() >= 0, "fluid is never darker than air"
        inside, outside = gain[labels == LESION], gain[labels == 0]
        assert inside.mean() > 20 and (inside > 0).mean() > 0.9
        assert outside.mean() < 0.5 and (outside == 0).mean() > 0.95, "only the soft edge of a lung may be touched"
    assert set(np.unique(render(1, 2, 128, lesion=False)[1])) == {0, LUNG}


def test_images_of_one_patient_share_the_anatomy_but_are_no_duplicates():
    def shape(labels):
        rows, columns = np.nonzero(labels)
        return np.ptp(columns) / np.ptp(rows)

    drawn = [render(index // 2, index, 64, False) for index in range(80)]
    shapes = np.array([shape(labels) for _, labels in drawn]).reshape(-1, 2)
    assert np.corrcoef(shapes.T)[0, 1] > 0.4
    patients = [f"p{index // 2}" for index in range(80)]
    assert len(near_duplicate_pairs(np.stack([thumbnail(image) for image, _ in drawn]), patients)) == 0


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="phantom images names"):
        phantom(images={"NORMAL": 3}).records(32, 1)
    with pytest.raises(UserError, match="lesion_labels"):
        phantom(lesion_labels=["TB"]).records(32, 1)


def test_400_images_teach_clearly_more_than_20():
    images = np.stack([render(10_000 * (i % 2) + i // 4, i, 32, i % 2 == 1)[0] for i in range(600)]).reshape(600, -1)
    truth = np.arange(600) % 2
    test = slice(400, 600)

    def auc(train):
        model = make_pipeline(
            PCA(min(60, (train.stop - train.start) - 1), random_state=0), StandardScaler(), LogisticRegression(C=0.1)
        ).fit(images[train], truth[train])
        return roc_auc_score(truth[test], model.decision_function(images[test]))

    few = np.mean([auc(slice(start, start + 20)) for start in range(0, 160, 20)])
    many = auc(slice(0, 400))
    assert 0.5 < few < 0.76 and many > 0.8 and many - few > 0.12
