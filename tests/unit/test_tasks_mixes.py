"""Which images a run of a mix trains on and validates with."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.hashing import sha256_pixels
from radsynth.tasks.mixes import assemble, count_images, mix_images, read_pixels, read_pools, validation_images

LABELS = ["NORMAL", "PNEUMONIA"]
BASELINE = {"real": True, "pools": {}}


def cohort(normal: int = 200, pneumonia: int = 200) -> pd.DataFrame:
    labels = ["NORMAL"] * normal + ["PNEUMONIA"] * pneumonia
    ids = [f"x{index:04d}" for index in range(len(labels))]
    return pd.DataFrame({"image_id": ids, "file": [f"images/{i}.png" for i in ids], "sha256": ids, "label": labels})


@pytest.fixture
def pools(tmp_path):
    """Pools of 2,000 images per label by ddpm, of 30 PNEUMONIA images by gan."""
    manifests = []
    for generator, label, count in (("ddpm", "NORMAL", 2000), ("ddpm", "PNEUMONIA", 2000), ("gan", "PNEUMONIA", 30)):
        path = tmp_path / generator / label / "manifest.csv"
        path.parent.mkdir(parents=True)
        files = [f"images/{index:06d}.png" for index in range(count)]
        pd.DataFrame({"index": range(count), "file": files, "sha256": "0", "label": label}).to_csv(path, index=False)
        manifests.append(path)
    return read_pools(manifests, ["ddpm", "ddpm", "gan"])


def images_of(mix, pools, train=None, seed=1, name="some_mix"):
    train = cohort() if train is None else train
    return mix_images(name, mix, train, "data/x", pools, LABELS, validation_images(train, 0.2, seed), seed)


def validation_of(images):
    return images.loc[images["subset"] == "validation", "image_id"].tolist()


def test_counts_stand_in_the_order_of_the_labels_not_of_names_or_frequencies():
    labels = ["zebra", "apple", "mango"]
    frequent = ["apple"] * 30 + ["mango"] * 20 + ["zebra"] * 10
    ids = [f"x{i}" for i in range(len(frequent))]
    train = pd.DataFrame({"image_id": ids, "file": ids, "sha256": ids, "label": frequent})
    arm = {"mix": BASELINE, "augmented": [], "known": None, "steps_of": None}
    empty = read_pools([], [])
    lesson = assemble(
        *("baseline", arm, train, train.head(0), {}, empty, "data/x", labels), fraction=0.2, batch_size=32, seed=1
    )
    assert list(lesson.epoch_counts.items()) == [("zebra", 8), ("apple", 24), ("mango", 16)]
    counts = count_images(lesson.images, labels)
    assert [list(counts[subset]["real"]) for subset in ("train", "validation")] == [labels, labels]
    assert (
        list(count_images(train.assign(subset="train", origin="real").head(50), labels)["train"]["real"]) == labels[1:]
    )


def test_the_small_mix_trains_on_4320_images_and_validates_on_80_real_ones(pools):
    images = images_of({"real": True, "pools": {"ddpm": 2000}}, pools)
    assert count_images(images, LABELS) == {
        "train": {"real": dict.fromkeys(LABELS, 160), "synthetic": dict.fromkeys(LABELS, 2000)},
        "validation": {"real": dict.fromkeys(LABELS, 40)},
    }
    assert images["image_id"].is_unique


def test_run_r_of_every_mix_has_the_same_validation_images(pools):
    mixes = [
        BASELINE,
        {"real": True, "pools": {"ddpm": 2000}},
        {"real": False, "pools": {"ddpm": 100}},
        {"real": True, "pools": {"gan": 30}},
    ]
    validations = [validation_of(images_of(mix, pools, seed=7)) for mix in mixes]
    assert len(validations[0]) == 80
    assert all(validation == validations[0] for validation in validations)


def test_another_run_has_other_validation_images_and_the_order_of_the_manifest_does_not_matter(pools):
    train = cohort()
    shuffled = train.sample(frac=1, random_state=0)
    first, again, second = (
        set(validation_images(*given)["image_id"]) for given in ((train, 0.2, 1), (shuffled, 0.2, 1), (train, 0.2, 2))
    )
    assert first == again
    assert len(first & second) < 40  # 16 expected by chance


def test_validation_is_stratified_and_never_trained_on(pools):
    images = images_of(BASELINE, pools, train=cohort(1500, 200))
    assert count_images(images, LABELS)["validation"]["real"] == {"NORMAL": 300, "PNEUMONIA": 40}
    training = set(images.loc[images["subset"] == "train", "image_id"])
    assert training.isdisjoint(validation_of(images))
    assert len(training) == 1360


def test_the_first_images_of_a_pool_are_taken_and_found_beside_its_manifest(pools):
    images = images_of({"real": False, "pools": {"ddpm": 3}}, pools)
    synthetic = images[images["origin"] == "synthetic"]
    assert synthetic["image_id"].tolist() == [f"ddpm/{label}/{index:06d}" for label in LABELS for index in range(3)]
    assert synthetic["file"].tolist() == [f"images/{index:06d}.png" for index in range(3)] * 2
    assert [root.split("/")[-2:] for root in synthetic["root"].iloc[[0, 3]]] == [["ddpm", label] for label in LABELS]
    assert set(images.loc[images["origin"] == "real", "subset"]) == {"validation"}


def test_asking_a_pool_for_more_than_it_holds_names_the_key_and_the_numbers(pools):
    with pytest.raises(UserError, match=r"^mixes\.more\.pools\.gan: 31 .*PNEUMONIA holds 30$"):
        images_of({"real": True, "pools": {"gan": 31}}, pools, name="more")
    with pytest.raises(UserError, match=r"^mixes\.more\.pools\.vae: no pool"):
        images_of({"real": True, "pools": {"vae": 1}}, pools, name="more")


def test_a_label_without_training_images_is_refused(pools):
    with pytest.raises(UserError, match=r"^mixes\.gan_only: no training image of NORMAL"):
        images_of({"real": False, "pools": {"gan": 30}}, pools, name="gan_only")
    with pytest.raises(UserError, match="no training image of PNEUMONIA"):  # its only image validates
        images_of(BASELINE, pools, train=cohort(200, 1))


def test_oversampling_draws_training_images_of_the_rarer_label_again(pools):
    train = cohort(1500, 200)
    plain = images_of(BASELINE, pools, train=train)
    images = images_of(BASELINE | {"balance": "oversample"}, pools, train=train)
    assert count_images(images, LABELS)["train"]["real"] == {"NORMAL": 1200, "PNEUMONIA": 1200}
    assert images.iloc[: len(plain)].equals(plain), "the images themselves all stay"
    drawn = images.iloc[len(plain) :]["image_id"]
    assert set(drawn) <= set(plain.query("subset == 'train' and label == 'PNEUMONIA'")["image_id"])
    # 1,040 draws with replacement out of 160 leave about 160 exp(-6.5) = .2 of them out, and none is drawn 40 times.
    assert drawn.nunique() > 150 and drawn.value_counts().max() < 40
    assert (
        drawn.tolist() != images_of(BASELINE | {"balance": "oversample"}, pools, train, 2)["image_id"][1400:].tolist()
    )
    both = images_of({"real": True, "pools": {"gan": 30}, "balance": "oversample"}, pools, train=train)
    assert (
        count_images(both, LABELS)["train"]["real"]["PNEUMONIA"]
        + count_images(both, LABELS)["train"]["synthetic"]["PNEUMONIA"]
        == 1200
    )


@pytest.mark.parametrize(
    ("mix", "augmented", "steps"),
    [
        ({"real": True, "pools": {"ddpm": 2000}}, LABELS, 135),  # (320 + 4,000) / 32
        ({"real": True, "pools": {"gan": 30}}, LABELS[1:], 11),  # (320 + 30) / 32 = 10.9
        ({"real": False, "pools": {"ddpm": 2000}}, LABELS, 125),
        ({"real": True, "pools": {"gan": 30}, "balance": "oversample"}, LABELS[1:], 12),  # 2 x 190 / 32 = 11.9
    ],
)
def test_a_mix_can_take_as_many_steps_as_another(pools, mix, augmented, steps):
    assert lesson_of(BASELINE, pools, steps_of=[mix, augmented]).steps == steps


def lesson_of(mix, pools, train=None, apart=None, fraction=0.2, known=None, augmented=LABELS, steps_of=None):
    """Assemble a mix, or, with ``known`` (training images by scenario, taken for all labels), its matched control."""
    train = cohort() if train is None else train
    known = known or {}
    arm = {"mix": mix, "augmented": augmented, "steps_of": steps_of}
    arm["known"] = {label: scenario for scenario in known for label in LABELS} or None
    apart = train.head(0) if apart is None else apart
    settings = {"fraction": fraction, "batch_size": 32, "seed": 1}
    return assemble("some_mix", arm, train, apart, known, pools, "data/x", LABELS, **settings)


def test_a_control_has_as_many_images_of_each_label_in_an_epoch_as_its_mix_and_sees_what_the_pool_has_seen(pools):
    mix, train = {"real": True, "pools": {"ddpm": 2000}}, cohort(1500, 200)
    ours = lesson_of(mix, pools, train, augmented=LABELS[1:])
    control = lesson_of(mix, pools, train, augmented=LABELS[1:], known={"imbalanced": train})
    assert control.epoch_counts == ours.epoch_counts == {"NORMAL": 1200, "PNEUMONIA": 2160}
    assert control.drawn and not ours.drawn
    # The generators have learnt from the images that this run validates with, so the control does too.
    assert count_images(control.images, LABELS) == {"train": {"real": {"NORMAL": 1500, "PNEUMONIA": 200}}}


@pytest.mark.parametrize("fraction", [None, 0.2])
def test_a_mix_knows_no_real_image_that_its_control_does_not(pools, fraction):
    """Synthetic images alone, and generators that have learnt from a larger cohort than the mix."""
    large = cohort(400, 400)
    for mix in ({"real": False, "pools": {"ddpm": 50}}, {"real": True, "pools": {"ddpm": 50}}):
        control = lesson_of(mix, pools, cohort(40, 40), fraction=fraction, known={"large": large})
        assert set(control.images["image_id"]) == set(large["image_id"])
        real = 0 if not mix["real"] else 40 if fraction is None else 32
        assert control.epoch_counts == dict.fromkeys(LABELS, 50 + real)


def test_patients_that_are_apart_validate_every_mix_and_its_control_and_teach_none(pools):
    train, apart = cohort(), cohort(20, 20).assign(image_id=lambda table: "apart_" + table["image_id"])
    mix = {"real": True, "pools": {"ddpm": 100}}
    for known in (None, {"small": train}):
        lesson = lesson_of(mix, pools, train, apart, fraction=None, known=known)
        assert count_images(lesson.images, LABELS)["validation"] == {"real": dict.fromkeys(LABELS, 20)}
        assert count_images(lesson.images, LABELS)["train"]["real"] == dict.fromkeys(LABELS, 200)
        assert lesson.validation.equals(apart)


def test_without_validation_all_real_images_teach(pools):
    for mix in (BASELINE, {"real": True, "pools": {"ddpm": 100}}):
        counts = count_images(lesson_of(mix, pools, fraction=None).images, LABELS)
        assert list(counts) == ["train"] and counts["train"]["real"] == dict.fromkeys(LABELS, 200)


def test_no_pools_at_all():
    assert len(images_of(BASELINE, read_pools([], []))) == 400


def test_images_of_several_channels_among_gray_ones_are_taken_as_gray(tmp_path):
    gray, two = np.full((4, 4), 10, np.uint8), np.dstack([np.full((4, 4), 20, np.uint8), np.full((4, 4), 40, np.uint8)])
    rows = []
    for name, pixels, channels in (("real", gray, ""), ("pool", gray, "gray"), ("joint", two, "soft bone")):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        rows.append(
            {"root": str(tmp_path), "file": f"{name}.png", "sha256": sha256_pixels(pixels), "channels": channels}
        )
    table = pd.DataFrame(rows)
    assert read_pixels(table)[:, 0, 0].tolist() == [[10], [10], [30]]
    assert read_pixels(table[:2]).shape == (2, 4, 4, 1) and read_pixels(table[2:]).shape == (1, 4, 4, 2)
