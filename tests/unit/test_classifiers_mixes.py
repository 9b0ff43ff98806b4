"""Which images a run of a mix trains on and validates with."""

import pandas as pd
import pytest
from radsynth.classifiers.mixes import count_images, matched_steps, mix_images, read_pools, validation_ids
from radsynth.common.errors import UserError

LABELS = ["NORMAL", "PNEUMONIA"]
BASELINE = {"real": True, "pools": {}}


def cohort(normal: int = 200, pneumonia: int = 200) -> pd.DataFrame:
    labels = ["NORMAL"] * normal + ["PNEUMONIA"] * pneumonia
    ids = [f"x{index:04d}" for index in range(len(labels))]
    return pd.DataFrame({"image_id": ids, "file": [f"images/{i}.png" for i in ids], "label": labels})


@pytest.fixture
def pools(tmp_path):
    """Pools of 2,000 images per label by ddpm, of 30 PNEUMONIA images by gan."""
    manifests = []
    for generator, label, count in (("ddpm", "NORMAL", 2000), ("ddpm", "PNEUMONIA", 2000), ("gan", "PNEUMONIA", 30)):
        path = tmp_path / generator / label / "manifest.csv"
        path.parent.mkdir(parents=True)
        files = [f"images/{index:06d}.png" for index in range(count)]
        pd.DataFrame({"index": range(count), "file": files, "label": label}).to_csv(path, index=False)
        manifests.append(path)
    return read_pools(manifests, ["ddpm", "ddpm", "gan"])


def images_of(mix, pools, train=None, seed=1, name="some_mix"):
    return mix_images(name, mix, cohort() if train is None else train, "data/x", pools, LABELS, 0.2, seed)


def validation_of(images):
    return images.loc[images["subset"] == "validation", "image_id"].tolist()


def test_the_small_mix_trains_on_4320_images_and_validates_on_80_real_ones(pools):
    images = images_of({"real": True, "pools": {"ddpm": 2000}}, pools)
    assert count_images(images) == {
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
    assert validation_ids(train, 0.2, 1) == validation_ids(train.sample(frac=1, random_state=0), 0.2, 1)
    overlap = validation_ids(train, 0.2, 1) & validation_ids(train, 0.2, 2)
    assert len(overlap) < 40  # 16 expected by chance


def test_validation_is_stratified_and_never_trained_on(pools):
    images = images_of(BASELINE, pools, train=cohort(1500, 200))
    assert count_images(images)["validation"]["real"] == {"NORMAL": 300, "PNEUMONIA": 40}
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
    assert count_images(images)["train"]["real"] == {"NORMAL": 1200, "PNEUMONIA": 1200}
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
        count_images(both)["train"]["real"]["PNEUMONIA"] + count_images(both)["train"]["synthetic"]["PNEUMONIA"] == 1200
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
    assert matched_steps(mix, images_of(BASELINE, pools), cohort(), augmented, 32) == steps


def test_no_pools_at_all():
    assert len(images_of(BASELINE, read_pools([], []))) == 400
