"""A metric is one object and one line of the catalogue: all else follows, from its control to the report."""

import json
from importlib import reload

import numpy as np
import pytest
from radsynth.common.errors import UserError
from radsynth.common.schema import validated
from radsynth.quality import catalogue
from radsynth.quality.copies import share_below
from radsynth.quality.metric import FAMILIES, LOWER, Meaning, OfImages, OfSets
from radsynth.report import image_metrics, image_tables
from radsynth.report.chapter import tidy_tables
from radsynth.report.tidy import as_table
from test_quality_evaluate import N_POOL, N_TRAIN, Study, find

SHIFT = OfSets(
    "mean_shift",
    "distance",
    lambda meeting: np.linalg.norm(meeting.reference.gaussian.mean - meeting.candidate.gaussian.mean),
    Meaning("mean shift", LOWER, decimals=2),
    lowest=0,
)
DARK = OfImages(
    "dark_rate",
    "memorisation",
    lambda images: share_below(images.images.mean(axis=(1, 2)), images.thresholds["dark_rate"]),
    Meaning("dark images", LOWER, "above", "more images are darker than held-out real images are", whole=1),
    rank=0,
    lowest=0,
    highest=1,
    threshold=lambda images: images.images.mean(axis=(1, 2)).min() / 2,
)


@pytest.fixture
def thrown_in(monkeypatch):
    """Two more metrics, in two lines."""
    with monkeypatch.context() as patched:
        patched.setattr(catalogue, "METRICS", (*catalogue.METRICS, SHIFT, DARK))
        reload(image_metrics)
        patched.setattr(image_tables, "MEANINGS", image_metrics.MEANINGS)
        yield
    reload(image_metrics)


def test_a_new_metric_is_measured_controlled_checked_and_shown(tmp_path, thrown_in):
    study = Study(tmp_path)
    study.pool_pixels[1:5] //= 8
    study.pool["narrow"] += 3
    result, _ = study.evaluate()
    rows = result["metrics"]
    for extractor in ("wide", "narrow"):
        assert sum(row["metric"] == "mean_shift" and row["extractor"] == extractor for row in rows) == 3
    shift = find(rows, metric="mean_shift", extractor="narrow", reference="train")
    assert shift["family"] == "distance" and shift["control_is"] == "real_real" and shift["control_sd"] > 0
    assert shift["value"] > shift["control"] + 5 * shift["control_sd"] and shift["n_control_a"] == N_TRAIN
    dark = find(rows, metric="dark_rate")
    assert dark["value"] == pytest.approx(4 / N_POOL) and dark["control"] < 0.2 and dark["control_is"] == "held_out"
    assert dark["threshold"] > 0 and dark["reference"] == "train" and dark["extractor"] is None

    schema = catalogue.quality_schema()
    for key, wrong in (("value", -1.0), ("family", "manifold"), ("reference", ""), ("control_is", "held_out")):
        with pytest.raises(UserError, match=rf"^quality\.metrics\.0\.{key}"):
            validated(result | {"metrics": [shift | {key: wrong}]}, schema, "quality")

    names = {"dataset": "a", "sampling": "b", "scenario": "c", "generator": "g", "label": "PNEUMONIA"}
    cells = [names | row | {"preprocessing": json.dumps(row["preprocessing"] or {"name": ""})} for row in rows]
    tidy, labels = tidy_tables(), {"key": "labels", "value": "NORMAL, PNEUMONIA"}
    quality = image_metrics.judged(as_table(tidy["quality"], cells))
    metrics = {"quality": quality, "study": as_table(tidy["study"], [labels])}
    distances = image_metrics.of_family(metrics, "distance")
    assert list(dict.fromkeys(distances["metric"])) == ["fid", "kid", "kid_subsets", "mean_shift"]
    row = distances[(distances["metric"] == "mean_shift") & (distances["extractor"] == "narrow")].iloc[0]
    assert image_metrics.goodness(row) < 0 and image_metrics.MEANINGS["mean_shift"].axis == "mean shift ↓"
    row = quality[quality["metric"] == "dark_rate"].iloc[0]
    assert row["p_value"] < 0.05 and image_tables.value_text(row) == "33.3 %"
    _, _, sections = image_tables.memorisation(metrics)
    assert any("dark images" in section.header for section in sections)


def test_every_metric_says_what_it_is():
    names = [metric.name for metric in catalogue.METRICS]
    assert len(set(names)) == len(names)
    for metric in catalogue.METRICS:
        assert metric.family in FAMILIES and metric.meaning.shown and metric.meaning.arrow
        assert bool(metric.meaning.suspect) == bool(metric.meaning.says), metric.name
        assert (metric.meaning.suspect == "nearest") == (metric.search is not None), metric.name
        if metric.meaning.whole:
            assert (metric.lowest, metric.highest) == (0, metric.meaning.whole), metric.name
    assert not [metric.name for metric in catalogue.METRICS if metric.name in ("mean_shift", "dark_rate")]
