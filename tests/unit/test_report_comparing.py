"""Two results side by side: planted differences, by hand, and what one of the two lacks."""

import math

import numpy as np
import pandas as pd
import pytest
import report_planted as planted
from radsynth.report import comparing
from radsynth.report.archive import write_archive, write_config
from radsynth.report.render import markdown
from report_planted import COLUMNS
from scipy import stats


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The same planted study twice, the second with one more mix and other runs."""
    folder = tmp_path_factory.mktemp("compared")
    a = planted.metrics(folder / "a", planted.SMALL)
    b = planted.metrics(folder / "b", planted.SMALL | {"mixes": planted.SMALL["mixes"] | {"more": 0.1}}, seed=5)
    return a, b


def test_configurations_differ_by_dotted_key():
    rows = comparing.config_rows(
        {"seed": 1, "mixes": {"baseline": {"real": True}, "old": {}}, "labels": ["a", "b"]},
        {"seed": 2, "mixes": {"baseline": {"real": True}}, "labels": ["a", "b"], "runs": 3},
    )
    assert rows.to_numpy().tolist() == [["seed", "1", "2"], ["mixes.old", "{}", ""], ["runs", "", "3"]]
    assert comparing.config_rows({"seed": 1}, {"seed": 1}).empty


def classification(values, mix="ddpm"):
    rows = [
        dict.fromkeys(COLUMNS["classification"], "")
        | {"tested_on": "test", "mix": mix, "classifier": "cnn", "metric": "accuracy", "run": run, "value": value}
        | {"testset": f"test_{testset}"}
        for run, sets in enumerate(values)
        for testset, value in enumerate(sets)
    ]
    return {"classification": pd.DataFrame(rows, columns=COLUMNS["classification"])}


def test_runs_are_averaged_over_test_sets_and_compared_by_welch():
    a, b = classification([[0.6, 0.8], [0.8, 0.8], [0.7, 0.9]]), classification([[0.9], [0.95], [0.85], [0.9]])
    (row,) = comparing.classification_rows(a, b).to_dict("records")
    assert (row["n_a"], row["n_b"]) == (3, 4)
    assert row["mean_a"] == pytest.approx((0.7 + 0.8 + 0.8) / 3) and row["mean_b"] == pytest.approx(0.9)
    assert row["difference"] == pytest.approx(0.9 - 2.3 / 3)
    variances = np.var([0.7, 0.8, 0.8], ddof=1) / 3, np.var([0.9, 0.95, 0.85, 0.9], ddof=1) / 4
    df = sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2 / 3)
    half = stats.t.ppf(0.975, df) * math.sqrt(sum(variances))
    assert (row["low"], row["high"]) == pytest.approx((row["difference"] - half, row["difference"] + half))


def test_what_one_side_lacks_and_single_runs_are_empty_with_a_reason():
    rows = comparing.classification_rows(classification([[0.5], [0.6]], "old"), classification([[0.7], [0.8]], "new"))
    assert rows["difference"].isna().all() and rows["low"].isna().all()
    assert list(rows["reason"]) == ["only in a", "only in b"]
    (row,) = comparing.classification_rows(classification([[0.5]]), classification([[0.7]])).to_dict("records")
    assert row["difference"] == pytest.approx(0.2) and math.isnan(row["low"]) and "at least 2 runs" in row["reason"]
    (row,) = comparing.classification_rows(classification([[1], [1]]), classification([[1], [1]])).to_dict("records")
    assert row["difference"] == 0 and math.isnan(row["low"]) and row["reason"] == "runs without any spread"


def test_rows_stand_in_the_order_of_the_results_and_not_of_their_names():
    def quality(labels):
        rows = [dict.fromkeys(COLUMNS["quality"], "") | dict.fromkeys(("value", "low", "high"), 1.0) for _ in labels]
        return {"quality": pd.DataFrame(rows, columns=COLUMNS["quality"]).assign(label=labels)}

    rows = comparing.quality_rows(quality(["zebra", "apple"]), quality(["zebra", "apple", "mango"]))
    assert list(rows["label"]) == ["zebra", "apple", "mango"]
    assert list(rows["reason"]) == ["", "", "none in a"]


def test_images_add_the_intervals_in_quadrature():
    def quality(value, low, high, metric="kid"):
        row = dict.fromkeys(COLUMNS["quality"], "") | {"metric": metric, "value": value, "low": low, "high": high}
        return {"quality": pd.DataFrame([row], columns=COLUMNS["quality"])}

    (row,) = comparing.quality_rows(quality(0.02, 0.01, 0.03), quality(0.05, 0.03, 0.07)).to_dict("records")
    assert row["difference"] == pytest.approx(0.03)
    assert row["high"] - 0.03 == pytest.approx(math.hypot(0.01, 0.02)) == pytest.approx(0.03 - row["low"])
    (row,) = comparing.quality_rows(quality(0.02, np.nan, np.nan), quality(0.05, 0.03, 0.07)).to_dict("records")
    assert (
        row["difference"] == pytest.approx(0.03) and math.isnan(row["low"]) and "without an interval" in row["reason"]
    )
    rows = comparing.quality_rows(quality(0.02, 0.01, 0.03), quality(0.5, 0.4, 0.6, "fid"))
    assert rows["difference"].isna().all() and sorted(rows["reason"]) == ["none in a", "none in b"]


def test_a_study_and_an_archive_side_by_side(results, tmp_path, run_script):
    inputs = {}
    for side, seed in (("a", 1), ("b", 2)):
        folder = tmp_path / side
        planted.metrics(folder, planted.SMALL, seed=seed)
        write_config(folder / "metrics/config.yaml", {"study": side, "seed": seed})
        files = [*(folder / f"metrics/{name}.csv" for name in COLUMNS), folder / "metrics/config.yaml"]
        if side == "b":
            write_archive(folder / "v1", files, "2025-01-01")
            files = [folder / "v1" / file.name for file in files]
        inputs[f"metrics_{side}"] = list(map(str, files))
    names = ("configuration", "verdicts", "classification", "images")
    outputs = {
        f"{name}{format}": str(tmp_path / "out" / f"{name}.{format}") for name in names for format in ("csv", "md")
    }
    run_script("compare", inputs, outputs, names=["a", "b"])
    pages = {name: (tmp_path / "out" / f"{name}.md").read_text() for name in names}
    assert "| seed | 1 | 2 |" in pages["configuration"]
    assert "| test | ddpm | custom_cnn | accuracy | 0." in pages["classification"]
    assert "| test | ddpm | custom_cnn | ROC-AUC | undecided | undecided | +0." in pages["verdicts"]
    assert "a is a, b is b." in pages["images"] and "KID" not in pages["configuration"]
    table = pd.read_csv(tmp_path / "out/classification.csv")
    assert len(table) and (table["low"] < table["difference"]).sum() > 0
    with open(tmp_path / "b/v1/quality.csv", "a") as stream:
        stream.write("x\n")
    with pytest.raises(SystemExit):
        run_script("compare", inputs, outputs, names=["a", "b"])


def test_whole_results_compare(results):
    a, b = results
    tables = comparing.compare((a, {"x": 1}), (b, {"x": 1}), ["a", "b"])
    title, table, sections = tables["configuration"]
    assert table.empty and "The resolved configurations of the two are the same." in markdown(title, sections)
    rows = tables["classification"][1]
    assert set(rows[rows["mix"] == "more"]["reason"]) == {"only in b"}
    assert {"matched_ddpm", "baseline_corrected"} <= set(rows["mix"])
    words = tables["verdicts"][1]
    more = words["mix"] == "more"
    assert set(words[more]["verdict_a"]) == {"only in b"} and not set(words[~more]["verdict_b"]) & {"only in a"}
    assert set(words.loc[words["headline"], "metric"]) == {"roc_auc"}
    own = words[(words["mix"] == "ddpm") & words["headline"]].iloc[0]
    differences = a["comparisons"].set_index(["question", "mix", "metric"])["difference"]
    assert own["control_difference_a"] == differences["control", "ddpm", "roc_auc"]
    assert set(tables["images"][1]["metric"]) >= {"fid", "kid", "copy_rate"}
