"""Attacks in a study: options, what a job reads, who is on either side, what comes of planted pools."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from radsynth.common import schema
from radsynth.common.errors import UserError
from radsynth.common.features import write_features
from radsynth.common.files import read_json
from radsynth.common.hashing import sha256_pixels
from radsynth.common.registry import KINDS, Entry
from radsynth.privacy.attack import Attack
from radsynth.privacy.attacking import Attacked, attack_pool
from radsynth.quality.metric import UndefinedError
from radsynth.study.config import Study
from radsynth.study.gpu_hours import gpu_jobs
from radsynth.study.inputs import Inputs
from radsynth.study.plan import Plan
from test_study_plan import HERE, Wildcards

NEAREST = {"kind": "nearest_image", "size": 8}
LABELS = ["A", "B"]
EACH = 2  # images of a patient


class NearestFeature(Attack):
    access = "features"

    def score(self, target, members, non_members, seed):
        return tuple(-np.linalg.norm(side[:, None] - target, axis=2).min(axis=1) for side in (members, non_members))


class Losses(Attack):
    access = "model"

    def score(self, target, members, non_members, seed):
        return tuple(-target.losses(side, seed).mean(axis=1) for side in (members, non_members))


class Hopeless(Attack):
    access = "images"

    def score(self, target, members, non_members, seed):
        raise UndefinedError("nothing to score by")


class Mean:
    """A generator that has learned the mean of its images; its loss is the distance to that."""

    @classmethod
    def load(cls, folder):
        assert str(folder) == "model"
        return cls()

    def losses(self, data, seed):
        assert {key for row in data.rows for key in row} == {"label"}, "nothing but the target tells the sides apart"
        return data.images.reshape(len(data), -1).astype(float)[:, :1]


@pytest.fixture
def kinds(root, tmp_path, monkeypatch):
    """An attack of each access, as somebody may add them."""
    monkeypatch.syspath_prepend(root / "tests/plugins")
    shutil.copytree(root / "workflow/schemas", tmp_path / "schemas")
    monkeypatch.setattr(schema, "SCHEMAS", tmp_path / "schemas")
    schema.read_schema.cache_clear()
    (tmp_path / "schemas/attacks").mkdir()
    shutil.copy(root / "tests/plugins/nearest_image.schema.yaml", tmp_path / "schemas/attacks")
    monkeypatch.setitem(KINDS["attacks"], "nearest_image", Entry("nearest_image:NearestImage"))
    for kind, name in {"nearest_feature": "NearestFeature", "losses": "Losses", "hopeless": "Hopeless"}.items():
        (tmp_path / f"schemas/attacks/{kind}.schema.yaml").write_text("properties: {}\n")
        monkeypatch.setitem(KINDS["attacks"], kind, Entry(f"{__name__}:{name}"))
    yield
    schema.read_schema.cache_clear()


@pytest.fixture
def core(root):
    return yaml.safe_load((root / "config/config.yaml").read_text())


def attacks(core: dict, **kinds: str) -> Study:
    return Study(core | {"attacks": {name: {"kind": kind} for name, kind in kinds.items()}})


def of(attack: str, pool: str = "ddpm") -> Wildcards:
    return Wildcards(HERE | {"pool": pool, "label": "NORMAL", "attack": attack})


# The configuration and the plan.


def test_an_attack_has_the_options_of_its_kind_and_a_file_for_every_pool_and_label(kinds, core):
    study = attacks(core, near="nearest_image", other="losses")
    assert study["attacks"]["near"] == NEAREST
    files, below = Plan(study).attack_targets(), "results/khazrak2025/privacy/kaggle_cxr/random/small"
    assert len(files) == len(set(files)) == 2 * 2 * 2 * 2, "samplings, generators, labels, attacks"
    assert f"{below}/pggan/NORMAL/near.json" in files and f"{below}/ddpm/PNEUMONIA/other.json" in files
    assert Study(core)["attacks"] == {} and Plan(Study(core)).attack_targets() == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"near": {"kind": "guess"}}, "attacks.near.kind: unknown kind 'guess', expected one of nearest_image, "),
        ({"near": NEAREST | {"width": 8}}, "attacks.near.width: unknown key, expected one of kind, size"),
        ({"near": NEAREST | {"size": 0}}, "attacks.near.size: 0 is less than"),
        ({"near": {}}, "attacks.near.kind: missing"),
        ({"a/b": NEAREST}, "attacks.a/b: 'a/b' is not a safe name"),
        ({"near": NEAREST, "NEAR": NEAREST}, "attacks: near and NEAR differ in case alone"),
        ({"near": {"kind": "nearest_feature"}}, "attacks.near: reads features, but quality.extractors has domain"),
    ],
)
def test_what_does_not_do_is_told_in_one_line(kinds, core, given, message):
    quality = {"extractors": ["domain"]}
    with pytest.raises(UserError) as error:
        Study(core | {"attacks": given, "quality": quality})
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_without_any_kind_the_message_says_so(core):
    with pytest.raises(UserError, match=r"^attacks.near.kind: unknown kind 'x', expected one of \(none defined\)$"):
        Study(core | {"attacks": {"near": {"kind": "x"}}})


def test_a_job_reads_what_its_access_asks_for_and_no_more(kinds, core):
    core["quality"] = {"extractors": ["domain", "pixels"]}
    plan = Plan(attacks(core, near="nearest_image", seen="nearest_feature", losses="losses"))
    inputs, results = Inputs(plan), "results/khazrak2025"
    read = {
        name: [
            inputs.attacked_features(of(name), plan.real_features),
            inputs.attacked_features(of(name), plan.pool_features),
        ]
        for name in plan.study["attacks"]
    }
    pool = f"{results}/features/pixels/pools/kaggle_cxr/random/small/ddpm/NORMAL.npz"
    assert read == {
        "near": [[], []],
        "seen": [f"{results}/features/pixels/real/kaggle_cxr.npz", pool],
        "losses": [[], []],
    }
    assert {name: inputs.attacked_model(of(name)) for name in read} == {
        "near": [],
        "seen": [],
        "losses": [f"{results}/generators/kaggle_cxr/random/small/ddpm/NORMAL/model"],
    }
    assert [inputs.attacked_family(of(name)) for name in read] == [None, None, "ddpm"]
    assert plan.seed("attack")(of("near")) != plan.seed("attack")(of("seen"))
    held = [job for job, (stage, _) in gpu_jobs(plan.study).items() if stage == "attack"]
    assert len(held) == 8 and all(job.endswith("/losses") for job in held), "those that read a model hold a GPU"
    assert plan.constraints()["attack"] == "near|seen|losses"


# The sides, and what comes of it.


def write_set(folder, images, ids, **columns) -> pd.DataFrame:
    """Write images with their rows of a manifest; return these."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name, image in zip(ids, images, strict=True):
        Image.fromarray(image).save(folder / f"images/{name}.png")
    files = [f"images/{name}.png" for name in ids]
    sums = [sha256_pixels(image) for image in images]
    return pd.DataFrame({"image_id": ids, "file": files, "sha256": sums, "mask_file": ""} | columns)


@pytest.fixture
def planted(tmp_path, kinds):
    """Write a cohort of each label, its tests (in two sets that overlap) and a pool: of memories, or a fresh one."""

    def write(pool: str, patients: int = 30, known: bool = True, noise: float = 4) -> Attacked:
        random = np.random.default_rng(0)

        def draw(n):
            coarse = random.integers(40, 215, (n, 4, 4)).repeat(4, 1).repeat(4, 2)
            return coarse.astype(np.uint8)

        data, tables = tmp_path / "data", {"train": [], "tests": []}
        for label in LABELS:
            for side, found in tables.items():
                ids = [f"{side}_{label}_{k}" for k in range(EACH * patients)]
                names = [f"{side}{label}{k // EACH}" if known else "" for k in range(len(ids))]
                found.append(write_set(data, draw(len(ids)), ids, label=label, patient_id=names))
        train, tests = (pd.concat(found) for found in tables.values())
        train.to_csv(tmp_path / "train.csv", index=False)
        sets = [tests.assign(testset="test_1"), tests.iloc[::3].assign(testset="test_2")]
        pd.concat(sets)[["testset", *tests.columns]].to_csv(tmp_path / "tests.csv", index=False)
        pd.concat([train, tests]).to_csv(data / "manifest.csv", index=False)
        own = train[train["label"] == "A"]
        made = np.stack([np.asarray(Image.open(data / file)) for file in own["file"]]) if pool == "memory" else draw(60)
        made = np.clip(made + random.normal(0, noise, made.shape), 0, 255).astype(np.uint8)
        write_set(tmp_path / "pool", made, [f"{k:04}" for k in range(len(made))]).to_csv(
            tmp_path / "pool/manifest.csv", index=False
        )
        tables = (tmp_path / name for name in ("train.csv", "tests.csv"))
        return Attacked(tmp_path / "pool/manifest.csv", data / "manifest.csv", *tables)

    return write


def test_a_pool_of_memories_is_told_and_a_fresh_one_is_not(planted):
    found = attack_pool(NEAREST, planted("memory"), label="A", seed=1)
    assert found["auc"] > 0.98 and found["low"] > 0.95 and found["tpr"] > 0.9 and found["reason"] == ""
    assert [found[f"n_{name}"] for name in ("members", "non_members")] == [60, 60], "each test image once"
    assert [found[f"n_{name}_patients"] for name in ("member", "non_member")] == [30, 30]
    fresh = attack_pool(NEAREST, planted("fresh"), label="A", seed=1)
    assert abs(fresh["auc"] - 0.5) < 0.12 and fresh["low"] < 0.5 < fresh["high"] < fresh["least_auc"] + 0.1
    assert attack_pool(NEAREST, planted("fresh"), label="A", seed=1) == fresh
    other = attack_pool(NEAREST, planted("memory"), label="B", seed=1)
    assert abs(other["auc"] - 0.5) < 0.15, "the pool knows the images of its own label alone"
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_withheld_images_are_no_members(planted, tmp_path):
    given = planted("memory")
    train = pd.read_csv(given.train)
    withheld = train[train["label"] == "A"].head(3 * EACH)
    withheld.to_csv(tmp_path / "withheld.csv", index=False)
    found = attack_pool(NEAREST, Attacked(**vars(given) | {"withheld": tmp_path / "withheld.csv"}), label="A", seed=1)
    assert (found["n_members"], found["n_member_patients"], found["n_non_members"]) == (54, 27, 60)


def test_a_patient_on_both_sides_is_refused_in_one_line(planted):
    given = planted("fresh")
    tests = pd.read_csv(given.tests)
    tests.loc[tests["patient_id"] == "testsA0", "patient_id"] = "trainA5"
    tests.loc[tests["patient_id"] == "testsA1", "patient_id"] = "trainB5"
    tests.to_csv(given.tests, index=False)
    with pytest.raises(UserError) as error:
        attack_pool(NEAREST, given, label="A", seed=1)
    message = str(error.value)
    assert message.startswith(f"{given.tests}: 1 patients have images of A here") and "\n" not in message
    assert "trainA5" not in message, "names no patient"
    assert attack_pool(NEAREST, given, label="B", seed=1)["n_non_members"] == 60


def test_an_image_of_an_unknown_patient_stands_for_itself(planted):
    found = attack_pool(NEAREST, planted("memory", known=False), label="A", seed=1)
    assert found["n_member_patients"] == found["n_members"] == 60


def test_what_is_undefined_says_why(planted):
    few = attack_pool(NEAREST, planted("memory", patients=2), label="A", seed=1)
    assert few["auc"] == 1 and few["low"] is None and few["tpr"] is None and few["least_auc"] is None
    assert few["reason"] == (
        "an interval needs 10 patients on either side, found 2 and 2; rates need 5 non-members, found 4"
    )
    for entry, label, reason in [
        ({"kind": "hopeless"}, "A", "nothing to score by"),
        (NEAREST, "C", "0 members and 0 non-members, expected 1 of each"),
        ({"kind": "losses"}, "A", "the pool is made without a generator of its own"),
    ]:
        found = attack_pool(entry, planted("fresh"), label=label, seed=1)
        assert found["reason"] == reason and found["auc"] is found["low"] is found["least_auc"] is None
        assert found["chance"] == 0.5


def test_features_and_models_are_read_by_those_that_have_access(planted, tmp_path, monkeypatch):
    given = planted("memory")
    extractor = {"name": "pixels", "preprocessing": None, "weights": None}

    def features(manifest):
        table = pd.read_csv(manifest, dtype=str)
        ids = list(table["image_id"])
        flat = np.stack([np.asarray(Image.open(manifest.parent / file), float).ravel() for file in table["file"]])
        path = tmp_path / f"{manifest.parent.name}.npz"
        write_features(path, ids, flat, extractor | {"dim": flat.shape[1]}, {})
        return path

    seen = vars(given) | {"real_features": features(given.data), "pool_features": features(given.pool)}
    found = attack_pool({"kind": "nearest_feature"}, Attacked(**seen), label="A", seed=1)
    assert found["access"] == "features" and found["auc"] > 0.98

    monkeypatch.setitem(KINDS["families"], "mean", Entry(f"{__name__}:Mean"))
    model = Attacked(**vars(given) | {"family": "mean", "model": "model"})
    found = attack_pool({"kind": "losses"}, model, label="A", seed=1)
    assert found["access"] == "model" and found["n_members"] == 60 and 0 < found["auc"] < 1


def test_a_pool_of_another_size_is_refused(planted):
    given = planted("fresh")
    table = pd.read_csv(given.pool)
    write_set(given.pool.parent, np.zeros((1, 8, 8), np.uint8), ["0000"]).to_csv(given.pool, index=False)
    assert len(table) == 60
    with pytest.raises(UserError, match=r"images of \(8, 8, 1\) pixels and channels, expected \(16, 16, 1\)"):
        attack_pool(NEAREST, given, label="A", seed=1)


def test_the_script_writes_what_the_schema_asks_for(planted, tmp_path, run_script):
    given, output = planted("memory"), tmp_path / "out/near.json"
    (tmp_path / "model").mkdir()
    pd.read_csv(given.train).head(2).to_csv(tmp_path / "model/withheld.csv", index=False)
    inputs = {"pool_manifest": given.pool, "data_manifest": given.data, "train": given.train, "tests": given.tests}
    inputs = {key: str(path) for key, path in inputs.items()} | {"withholding": str(tmp_path / "model"), "model": []}
    run_script("attack", inputs, {"json": str(output)}, entry=NEAREST, family=None, label="A", seed=1)
    found = read_json(output)
    assert set(found) == set(schema.read_schema("privacy")["properties"]) and found["n_members"] == 58
