"""Image quality in the analysis: what values mean, the tidy table, tables, figures and words."""

import json
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import report_planted as planted
from jsonschema import validate
from matplotlib.colors import to_rgb
from radsynth.common.files import read_json, write_json
from radsynth.quality.catalogue import quality_schema
from radsynth.report import (
    basis,
    copying_words,
    drawing,
    heat_map,
    image_figures,
    image_rows,
    image_tables,
    render,
    summary,
)
from radsynth.report.chapter import load, read_metrics, tables, tidy_tables
from radsynth.report.image_metrics import MEANINGS, features_name, goodness, judged, of_family, suspicious, told_apart
from radsynth.report.realism_words import realism, variety_lines
from radsynth.report.tidy import NUMBER, write_csv
from report_planted import COLUMNS
from scipy.stats import norm

PLAN = planted.FULL | {
    "scenarios": {"small": [20]},
    "classifiers": {"custom_cnn": 0.8},
    "mixes": {"baseline": 0.0},
    "external": {},
    "experts": [],
    "runs": 1,
    "copying": "pggan",
}
FIGURES = {
    name: getattr(image_figures, name) for name in ("distances", "manifold", "diversity", "similarity", "memorisation")
} | {"heat_map": heat_map.heat_map}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two generators, of which ``pggan`` copies, two samplings, two classes, two extractors."""
    folder = tmp_path_factory.mktemp("quality")
    planted.metrics(folder, PLAN)
    return folder / "metrics"


@pytest.fixture
def metrics(study):
    return read_metrics({name: study / f"{name}.csv" for name in COLUMNS})


PAIRS = {"control_is": "real_pairs", "n_control_a": 100.0}
TAIL = {key: float(value) for key, value in planted.TAIL.items()}
FEWER = {"n_reference": 900.0, "n_control_a": 270.0, "n_control_b": 600.0}


def row(metric="copy_rate", **given):
    """Return one row as it is read from quality.csv."""
    texts = ("extractor", "preprocessing", "weights_sha256", "reference", "control_is", "reason", "note")
    known = {name: "" if name in texts else math.nan for name in COLUMNS["quality"]}
    return pd.Series(known | {"metric": metric, "n_synthetic": 2000.0, "n_control_a": 800.0} | given)


def set_rows(metrics, metric, **values):
    rows = metrics["quality"]
    for column, value in values.items():
        rows.loc[rows["metric"] == metric, column] = value
    metrics["quality"] = judged(rows)


def honest(metrics):
    """Leave the generator that does not copy."""
    names = ("quality", "suspects")
    return metrics | {name: metrics[name][metrics[name]["generator"] == "ddpm"].copy() for name in names}


def test_planted_files_are_what_the_schema_asks_for():
    planted_rows = planted.quality(["pixels"], np.random.default_rng(0))
    assert {one["metric"] for one in planted_rows["metrics"]} == set(MEANINGS)
    schema = quality_schema()
    validate(planted_rows, schema)
    assert set(schema["properties"]["metrics"]["items"]["properties"]["metric"]["enum"]) == set(MEANINGS)


def test_quality_rows_keep_every_key_and_undefined_values_are_empty(tmp_path):
    path = tmp_path / "quality/a/b/c/d/NORMAL.json"
    rows = planted.quality(["inception_v3_fid"], np.random.default_rng(0))
    write_json(path, rows)
    tidy, suspects = image_rows.quality_rows([str(path)], str(tmp_path))
    assert suspects == []
    write_csv(tmp_path / "quality.csv", COLUMNS["quality"], tidy)
    found = pd.read_csv(tmp_path / "quality.csv", dtype=str, keep_default_na=False)
    assert set(rows["metrics"][0]) <= set(COLUMNS["quality"]) and len(found) == len(rows["metrics"])
    c_t = found[found["metric"] == "c_t"].iloc[0]
    assert (c_t["value"], c_t["reason"], c_t["label"]) == ("", "planted: too few images", "NORMAL")
    assert json.loads(c_t["preprocessing"]) == planted.PREPROCESSING["inception_v3_fid"]
    assert found[found["metric"] == "duplicate_rate"].iloc[0]["extractor"] == ""
    read = read_metrics({"quality": tmp_path / "quality.csv"})["quality"]
    numbers = {"value", "low", "high", "sd", "control", "control_sd", "n_control_a", "n_control_b", "threshold"}
    assert numbers <= set(tidy_tables()["quality"].of_kind(NUMBER)) and all(
        read[name].dtype == float for name in numbers
    )


@pytest.mark.parametrize(
    ("extractor", "preprocessing", "name"),
    [
        ("inception", '{"name": "pytorch-fid"}', "inception (pytorch-fid)"),
        ("", '{"name": "3 scales"}', "3 scales"),
        ("pixels", "", "pixels"),
        ("", "", "images"),
    ],
)
def test_features_are_named_with_their_preprocessing(extractor, preprocessing, name):
    assert features_name(extractor, preprocessing) == name


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (row(value=0.0195, control=0.01), True),  # 39 of 2000 against 8 of 800: p = 0.049
        (row(value=0.019, control=0.01), False),  # 38 of 2000: p = 0.059
        (row(value=0.004, control=0.01), False),
        (row(value=0.02), None),
        (row(control=0.01), None),
        (row("exact_copy_rate", value=0.0005, control=0.0), True),
        (row("exact_copy_rate", value=0.0005), True),
        (row("duplicate_rate", value=0.0, control=0.1), False),
        (row("authpct", value=60.0, control=72.0), True),
        (row("authpct", value=80.0, control=72.0), False),
        (row("c_t", value=-1.7), True),  # p = 0.045
        (row("c_t", value=-1.6), False),
        (row("nearest_copy", value=0.2, control=0.4, **TAIL), True),
        (row("nearest_copy", value=0.39, control=0.4, **TAIL), False),
        (row("view_nearest_copy", value=0.0, control=0.4), None),
        (row("c_t"), None),
        (row("ms_ssim", value=0.4, low=0.35, high=0.45, control=0.34), True),
        (row("ms_ssim", value=0.4, low=0.33, high=0.47, control=0.34), False),
        (row("ms_ssim", value=0.2, low=0.15, high=0.25, control=0.34), False),
        (row("lpips", value=0.2, low=0.15, high=0.25, control=0.34), True),
        # 100 pairs of SD 0.2 on the side of the control: +- 0.039, with +- 0.05 of the value's 0.064 in all.
        (row("ms_ssim", value=0.4, low=0.35, high=0.45, control=0.34, control_sd=0.2, **PAIRS), False),
        (row("ms_ssim", value=0.4, low=0.35, high=0.45, control=0.33, control_sd=0.2, **PAIRS), True),
        (row("lpips", value=0.2, low=0.15, high=0.25, control=0.26, control_sd=0.2, **PAIRS), False),
        (row("fid", value=900.0, control=1.0), False),
    ],
)
def test_what_calls_for_a_look(given, found):
    (alone,) = (line for _, line in judged(pd.DataFrame([given])).iterrows())
    assert suspicious(alone) is found


def test_p_values_are_corrected_over_all_pools_and_metrics(metrics):
    """The smallest of m p-values counts m times; what is not tested counts for nothing."""
    rows = honest(metrics)["quality"]
    one = (rows["metric"] == "c_t") & (rows["extractor"] == "pixels")
    rows.loc[rows[one].index[0], "value"] = -3.5
    found = judged(rows)
    n = found["p_value"].notna().sum()
    least = found.loc[found["p_value"].idxmin()]
    assert set(found["n_comparisons"].dropna()) == {n} and n > 40
    assert least["metric"] == "c_t" and least["p_holm"] == pytest.approx(n * norm.cdf(-3.5))
    assert found.loc[found["metric"].isin(("exact_copy_rate", "kid", "ms_ssim")), "p_value"].isna().all()


def test_suspects_are_corrected_over_the_study_and_named(metrics):
    suspects = metrics["suspects"]
    assert (suspects["p_corrected"] < 1e-6).all() and len(suspects) == 48
    nearest = metrics["quality"].query("metric == 'nearest_copy' and generator == 'pggan' and extractor != 'pixels'")
    assert suspects["p_corrected"].max() < nearest["n_comparisons"].max() * 2000 * 1.1e-12
    assert "nearest_image_id" not in suspects, "the metrics name no image of a patient"
    text = "\n".join(copying_words.sharing(metrics))
    line = "    - `images/000000.png`: nearest image 0.03 (0 is a copy, the nearest held-out real image 0.44; p "
    assert text.count(line) == 4 and text.count("    - and 2 more, in `metrics/suspects.csv`.") == 4
    metrics["suspects"] = suspects.assign(p_corrected=0.2)
    assert "images/000000.png" not in "\n".join(copying_words.sharing(metrics))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # (v - c) / (|v| + |c|) by hand, worse below 0.
        (row("fid", value=60.0, control=20.0, control_sd=1.0, control_is="real_real"), -0.5),
        (row("fid", value=10.0, control=30.0, control_sd=1.0, control_is="real_real"), 0.5),
        (row("fid", value=21.9, control=20.0, control_sd=1.0, control_is="real_real"), 0.0),
        # Fewer images alone make a FID larger.
        (row("fid", value=10.0, control=30.0, control_sd=1.0, control_is="real_real", **FEWER), 0.0),
        (row("fid", value=60.0, control=20.0, control_sd=1.0, control_is="real_real", **FEWER), -0.5),
        (row("lpips", value=0.2, low=0.15, high=0.25, control=0.26, control_sd=0.2, **PAIRS), 0.0),
        (row("kid", value=0.04, control=-1e-5, control_sd=3e-4, control_is="real_real"), -0.0401 / 0.0401 * 0.9995),
        (row("recall", value=0.25, control=0.75, control_sd=0.01, control_is="real_real"), -0.5),
        (row("ssim", value=0.9, control=0.6), -0.2),
        (row("ssim", value=0.3, control=0.6), -1 / 3),
        (row("ms_ssim", value=0.3, low=0.2, high=0.4, control=0.35), 0.0),
        (row("lpips", value=0.1, low=0.05, high=0.15, control=0.3), -0.5),
        (row("c_t", value=2.0, control=0.0), 0.0),
        (row("c_t", value=-6.0, control=0.0), -1.0),
        (row("copy_rate", value=0.03, control=0.01), -0.5),
        (row("copy_rate", value=0.011, control=0.01), 0.0),
        (row("authpct", value=36.0, control=72.0), -1 / 3),
        (row("exact_copy_rate", value=0.0005, control=0.0), -1.0),
        (row("constant_rate", value=0.0, control=0.0), 0.0),
        (row("inception_score", value=2.0), math.nan),
        (row("fid", control=20.0), math.nan),
    ],
)
def test_better_and_worse_are_seen_from_the_control(given, expected):
    assert goodness(given) == pytest.approx(expected, abs=1e-3, nan_ok=True)


def test_a_difference_of_unknown_spread_counts():
    assert told_apart(row("dcr_median", value=14.0, control=13.9)) and not told_apart(
        row("mse", value=5.0, control=5.0)
    )


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("kid", -1e-5, "0.0000"),
        ("kid", -0.0123, "−0.0123"),
        ("fid", 80.04, "80.0"),
        ("fid", 0.756, "0.756"),
        ("fid", 1234.5, "1234"),
        ("copy_rate", 0.0005, "0.05 %"),
        ("copy_rate", 0.00001, "0.001 %"),
        ("copy_rate", 0.0, "0 %"),
        ("copy_rate", 0.061, "6.1 %"),
        ("authpct", 72.0, "72.0 %"),
        ("c_t", math.nan, "undefined"),
    ],
)
def test_numbers_keep_what_matters(metric, value, text):
    assert MEANINGS[metric].words(value) == text


def test_classes_stand_together_and_metrics_in_one_order(metrics):
    rows = of_family(metrics, "distance")
    first = rows[rows["metric"] == "fid"].drop_duplicates(["sampling", "label", "generator"])
    assert first[["sampling", "label", "generator"]].agg(" ".join, axis=1).tolist()[:4] == [
        *("random NORMAL ddpm", "random NORMAL pggan", "random PNEUMONIA ddpm", "random PNEUMONIA pggan"),
    ]
    assert list(dict.fromkeys(rows["metric"])) == ["fid", "kid", "kid_subsets"]


def test_classes_stand_in_the_order_of_the_study(tmp_path, monkeypatch):
    """Not in that of their names, nor in that in which they appear: the first generator makes one class alone."""
    monkeypatch.setattr(planted, "LABELS", ["zebra", "apple"])
    found = planted.metrics(tmp_path, PLAN | {"experts": list(planted.SMALL["classifiers"])})
    for name in ("quality", "recognition"):
        rows = found[name]
        found[name] = rows[(rows["generator"] != "ddpm") | (rows["label"] == "apple")]
    for name in ("quality", "coverage", "memorisation"):
        for section in load(tables()[name])(found)[2]:
            names = [line[0] for line in cells(section)]
            assert list(dict.fromkeys(names)) == ["zebra", "apple"] and names == sorted(names, reverse=True)
    for section in load(tables()["cohorts"])(found)[2]:
        assert [line[1] for line in cells(section)][:2] == ["zebra", "apple"]
    assert list(dict.fromkeys(found["confusion"]["true_label"])) == ["zebra", "apple"]
    with mpl.rc_context(drawing.STYLE):
        axes = image_figures.distances(found).axes[0]
        assert [text.get_text() for text in axes.get_yticklabels()][:2] == ["random: zebra", "random: apple"]
        lines = [text.get_text() for text in heat_map.heat_map(found).axes[0].get_yticklabels()]
        assert [line.split(": ")[1] for line in lines[:3]] == ["zebra", "apple", "apple"]
        panels = image_figures.recognition(found).axes[:2]
        assert [axis.get_xlabel().split()[2] for axis in panels] == ["zebra", "apple"]


def cells(section):
    return [[cell.text for cell in line] for line in section.cells]


def test_the_copy_rate_stands_beside_every_distance(metrics):
    _, table, sections = image_tables.quality(metrics)
    assert len(sections) == 4 and "features: pixels (area32)" in sections[1].title
    assert all(section.header[-1] == "copy rate (held-out)" for section in sections)
    assert all(line[-1] in ("0.4 % (1.0 %)", "6.1 % (1.0 %)") for section in sections for line in cells(section))
    styles = {line[1].text: line[-1].style for section in sections for line in section.cells}
    assert styles == {"ddpm": "", "pggan": "bold"}
    line = dict(zip(sections[0].header, cells(sections[0])[0], strict=True))
    kid = table[(table["metric"] == "kid") & (table["reference"] == line["reference"])].iloc[0]
    assert line["KID [95 %]"] == f"{kid['value']:.4f} [{kid['low']:.4f} to {kid['high']:.4f}]"
    assert (line["KID real-real"], line["FID real-real"]) == ("0.0000 ± 0.0003", "18.4 ± 0.3")
    assert (line["n real / synthetic"], line["n real / real"]) == ("1800 / 2000", "900 / 900")
    assert set(table.columns) == set(COLUMNS["quality"])


def test_coverage_and_diversity_stand_beside_real_images(metrics):
    set_rows(metrics, "precision", value=0.5)
    _, _, sections = image_tables.coverage(metrics)
    assert [section.title.split(":")[0] for section in sections] == ["Coverage"] * 4 + ["Diversity"] * 2
    assert sections[0].header[3:] == ["precision", "recall", "density", "coverage"]
    assert cells(sections[0])[0][3] == "0.50 (0.71 ± 0.01)"
    assert sections[4].header[2:] == ["MS-SSIM", "LPIPS, alexnet", "Inception score"]
    assert cells(sections[4])[0][2:] == ["0.390 [0.370 to 0.410] (0.310)", *cells(sections[4])[0][3:]]
    assert [cell.style for cell in sections[4].cells[0][2:]] == ["bold", "", ""]


def test_memorisation_stands_beside_held_out_images_and_says_what_is_undefined(metrics):
    _, _, sections = image_tables.memorisation(metrics)
    by_title = {section.title: section for section in sections}
    assert [title.rpartition("; ")[2] for title in by_title][-2:] == ["the images themselves"] * 2
    inception = by_title["Memorisation: chest, random, small; features: inception_v3_fid (pytorch-fid)"]
    assert inception.header[2:] == [
        "copy rate",
        "nearest image",
        "AuthPct",
        "C_T",
        "DCR median",
        "DCR share",
        "DCR tail",
    ]
    assert cells(inception)[0][2:6] == ["0.4 % (1.0 %)", "0.420 (0.440)", "74.0 % (72.0 %)", "undefined"]
    assert "C_T undefined: planted: too few images." in inception.note
    pixels = by_title["Memorisation: chest, random, small; features: pixels (area32)"]
    assert [cell.style for cell in pixels.cells[1][2:]] == ["bold", "bold", "bold", "bold", "", "", "bold"]
    images = by_title["Memorisation: chest, random, small; the images themselves"]
    assert images.cells[1][images.header.index("exact copies")] == render.Cell("0.05 % (0 %)", "bold")


def test_one_pool_with_one_metric_can_be_shown(metrics):
    alone = metrics["quality"].query("metric == 'kid' and generator == 'ddpm' and label == 'NORMAL'")
    few = metrics | {"quality": alone[alone["reference"] == "train"].head(1)}
    for draw in (image_tables.quality, image_tables.coverage, image_tables.memorisation):
        title, _, sections = draw(few)
        assert "nan" not in render.markdown(title, sections) + render.latex(sections)
    for draw in FIGURES.values():
        assert draw(few).get_size_inches()[0] == pytest.approx(180 / 25.4)
    text = "\n".join(copying_words.sharing(few))
    assert "No copy rate was measured" in text and "do not share them" in text
    assert "copy rate not measured" in summary.headline(few)[1]


def panels(figure):
    """Return the panels of a figure that are drawn, by their x labels, the arrow and further lines left out."""
    found = {}
    for axis in figure.axes:
        if axis.axison and axis.get_xlabel():
            found.setdefault(axis.get_xlabel().splitlines()[0][:-2], []).append(axis)
    return found


def test_each_family_has_its_panels(metrics):
    found = {name: list(panels(draw(metrics))) for name, draw in FIGURES.items() if name != "heat_map"}
    families = metrics["quality"].drop_duplicates("metric").set_index("metric")["family"]
    assert sorted(found.pop("memorisation")) == sorted(
        meaning.axis[:-2] for name, meaning in MEANINGS.items() if families[name] == "memorisation"
    )
    assert found == {
        "distances": ["FID", "KID", "copy rate (%)"],
        "manifold": ["precision", "recall", "density", "coverage"],
        "diversity": ["MS-SSIM", "LPIPS", "Inception score"],
        "similarity": ["SSIM", "PSNR (dB)", "MSE"],
    }


def test_values_and_controls_are_drawn_where_they_are(metrics):
    set_rows(metrics, "copy_rate", value=0.07, control=0.02)
    axis = panels(image_figures.memorisation(metrics))["copy rate (%)"][0]
    drawn = [line.get_xdata()[0] for line in axis.lines if line.get_marker() in ("o", "s")]
    controls = [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "D"]
    assert drawn == pytest.approx([7] * 8) and controls == pytest.approx([2] * 8)
    assert [line.get_marker() for line in axis.lines].count(image_figures.SIGN) == 8
    undefined = panels(image_figures.memorisation(metrics))["C_T"][0]
    assert [text.get_text() for text in undefined.texts if "undefined" in text.get_text()] == ["– undefined"] * 8


def test_cells_of_the_heat_map_are_coloured_by_their_control(metrics):
    set_rows(metrics, "recall", value=math.nan, control=math.nan, reason="planted")
    set_rows(metrics, "density", value=0.97)
    axis = heat_map.heat_map(metrics).axes[0]
    columns = [label.get_text()[:-2] for label in axis.get_xticklabels()]
    found = {
        (columns[round(text.get_position()[0])], round(text.get_position()[1])): (text.get_text(), patch)
        for text, patch in zip(axis.texts, axis.patches, strict=False)
    }
    colour = {key: patch.get_facecolor()[:3] for key, (_, patch) in found.items()}
    assert colour["FID", 0][0] > 0.6 > colour["FID", 0][2], "red: worse"
    assert min(colour["density", 0]) > 0.9, "white: not told apart"
    assert found["recall", 0][0] == "–" and found["recall", 0][1].get_hatch() and colour["recall", 0] == to_rgb("white")
    assert found["copy rate (%)", 1][0] == "6.1!" and found["copy rate (%)", 0][0] == "0.4"


def test_the_summary_says_how_near_the_pools_are_with_the_copy_rate_beside(metrics):
    first = realism(metrics).iloc[0]
    assert first["verdict"] == "farther" and first["reference"] == "all" and first["metric"] == "kid"
    text = summary.summary(metrics)
    assert "**0 of 8 pools are as near to the real images" in text and "by KID in pixels (area32)" in text
    interval = f"KID {first['value']:.4f} (95 % interval {first['low']:.4f} to {first['high']:.4f})"
    assert f"- ddpm NORMAL: **farther**; {interval}, real against real 0.0000 ± 0.0003; copy rate 0.4 %" in text
    assert "copy rate 6.1 % (held-out real images 1.0 %)" in text
    assert interval in summary.headline(metrics)[1]
    set_rows(metrics, "kid", value=0.0005)  # within two SDs of 3e-4
    assert "8 of 8 pools are as near" in summary.headline(metrics)[1]
    set_rows(metrics, "kid", value=math.nan, reason="one image")
    assert "KID undefined (one image)" in summary.summary(metrics)


def test_the_summary_says_where_there_is_too_little_variety(metrics):
    text = "\n".join(variety_lines(metrics))
    assert "8 of 8 pools less varied than their training images**, by MS-SSIM: " in text and "LPIPS" not in text
    set_rows(metrics, "ms_ssim", control=0.4)
    assert variety_lines(metrics) == []


def test_the_summary_names_the_pool_and_the_metric_that_speak_against_sharing(metrics):
    text = "\n".join(copying_words.sharing(metrics))
    assert text.startswith("**Not as they are.**") and "do not share that pool" in text
    (line,) = (line for line in text.splitlines() if line.startswith("- **pggan NORMAL** (chest, random, small)"))
    assert "copy rate in pixels (area32) 6.1 % against 1.0 % (p after Holm " in line
    assert "exact copies 0.05 % against 0 %" in line and "C_T in pixels (area32) −9.3 against 0.1" in line
    assert "**ddpm" not in text
    assert "C_T in inception_v3_fid (pytorch-fid) is undefined (8 pools): planted: too few images" in text
    said = summary.headline(metrics)[2]
    assert "signs of copies in 4 of 8 pools (copy rate; view copy rate; nearest image; exact copies)" in said
    assert "; 4 nearer to training images than held-out ones" in said


@pytest.mark.parametrize(
    ("metric", "values", "words"),
    [
        (None, {}, ["Nothing found against it", "not a proof"]),
        ("copy_rate", {"value": 0.05}, ["do not share that pool", "copy rate in pixels (area32) 5.0 %"]),
        ("view_copy_rate", {"value": 0.05}, ["do not share that pool", "- view copy rate: "]),
        ("hash_copy_rate", {"value": 0.02}, ["do not share that pool", "hash copy rate 2.0 % against 0.1 %"]),
        ("exact_copy_rate", {"value": 0.0005, "control": math.nan}, ["do not share that pool", "exact copies 0.05 %"]),
        ("copy_rate", {"control": math.nan}, ["Not known", "do not share", "no held-out real images to compare with"]),
        ("copy_rate", {"value": math.nan, "reason": "one image"}, ["Not known", "not checked, one image"]),
        ("nearest_copy", {"value": 0.01}, ["do not share that pool", "nearest image in pixels (area32) 0.010 against"]),
        ("view_nearest_copy", {"value": 0.01}, ["do not share that pool", "- nearest view: the same with flipped"]),
        (
            "view_nearest_copy",
            {"tail_n": math.nan, "note": "few"},
            ["Not known", "single copies were not looked for, few"],
        ),
        (
            "view_nearest_copy",
            {"planted": 0.5},
            ["Not known", "not 95 % stand out from 800 held-out patients; no number"],
        ),
        (
            "view_nearest_copy",
            {"planted": 0.26, "tail_n": 60.0, "tail_k": 20.0},
            ["Not known", "60 held-out", "would do"],
        ),
        ("copy_rate", {"n_control_a": 100.0, "value": 0.0}, ["Nothing found"]),
        ("c_t", {"value": -4.0}, ["Look first", "a z-score", "smooth images"]),
        ("authpct", {"value": 50.0}, ["Look first", "AuthPct in pixels (area32) 50.0 % against 72.0 %"]),
        ("dcr_tail", {"value": 0.1}, ["Look first", "DCR tail"]),
        ("duplicate_rate", {"value": 0.001}, ["duplicates 0.1 %", "pixels of another image of the pool"]),
        ("constant_rate", {"value": 0.001}, ["constant images 0.1 %", "single gray value"]),
    ],
)
def test_each_metric_can_speak_against_sharing(metrics, metric, values, words):
    metrics = honest(metrics)
    set_rows(metrics, metric, **values)
    text = "\n".join(copying_words.sharing(metrics))
    assert all(word in text for word in words), text


def test_a_model_chosen_although_all_copy_is_told(metrics, tmp_path):
    metrics = honest(metrics)
    models = [str(tmp_path / f"generators/chest/random/small/{name}/NORMAL/selected") for name in ("ddpm", "pggan")]
    for path, warning in zip(models, ["every model copies: step 20 copies least", ""], strict=True):
        write_json(Path(path) / "selection.json", {"warning": warning})
    last, given = f"{models[0]}/../../PNEUMONIA/model", tmp_path / "generators/chest/random/small/given/NORMAL/selected"
    write_json(given / "selection.json", {"method": "iteration", "step": 3})
    (found,) = basis.warning_rows([*models, last, str(given)], str(tmp_path))
    assert basis.warning_rows(models[1:], str(tmp_path)) == []
    assert "Look first" not in summary.summary(metrics)
    told = metrics | {"study": pd.concat([metrics["study"], pd.DataFrame([found])], ignore_index=True)}
    text = summary.summary(told)
    line = (
        "- **ddpm NORMAL** (chest, random, small), the choice of its model: every model copies: step 20 copies least."
    )
    assert line in text and "**Look first.**" in text and "**pggan NORMAL**" not in text
    assert "1 chosen from models that all copy" in summary.headline(told)[2]
    set_rows(told, "copy_rate", value=0.061)
    assert "**Not as they are.**" in summary.summary(told) and line in summary.summary(told)


def test_the_summary_says_how_many_copies_it_could_have_missed(metrics):
    metrics = honest(metrics)
    # Against 8 of 800 in the control, 39 of 2,000 stand out: see above.
    text = summary.summary(metrics)
    assert "could have gone unnoticed against 800 held-out images, in ddpm " in text
    assert "would have been found one by one in 4 pools" not in text
    assert "at least 95 % of each kind would have been found one by one in 4 of 4 pools" in text
    for metric in ("copy_rate", "view_copy_rate"):
        set_rows(metrics, metric, control=0.0, n_control_a=40.0, value=0.0)
    text = summary.summary(metrics)
    assert "**Not known.**" in text and "% could have gone unnoticed against 40 held-out images; about " in text
    for metric in ("copy_rate", "view_copy_rate"):
        set_rows(metrics, metric, control=1.0, n_control_a=1.0)
    assert "**No copy rate at all could have stood out** against 1 held-out images" in summary.summary(metrics)
    for metric in ("copy_rate", "view_copy_rate"):
        set_rows(metrics, metric, control=0.0, n_control_a=800.0, n_synthetic=20.0)
    assert "the pool of 20 images is too small for 5 %" in summary.summary(metrics)


def test_no_word_of_the_summary_is_missing_a_number(metrics):
    assert "nan" not in summary.summary(metrics).replace("phantom", "") and "nan" not in str(summary.headline(metrics))


def test_the_archive_keeps_every_metric(study):
    kept = pd.read_csv(study / "quality.csv", dtype=str, keep_default_na=False)
    assert set(kept["metric"]) == set(MEANINGS)
    assert not any(Path(text).suffix == ".png" for text in kept.to_numpy().ravel())
    assert read_json(study.parent / "quality/chest/random/small/ddpm/NORMAL.json")["n_synthetic"] == 2000
