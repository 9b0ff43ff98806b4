"""The tables of the synthetic images: distances, coverage and diversity, memorisation, recognition; beside controls."""

import math
from collections.abc import Callable

import pandas as pd

from radsynth.report.image_metrics import (
    MEANINGS,
    POOL,
    copy_rates,
    distinct,
    of_family,
    suspicious,
)
from radsynth.report.render import UNDEFINED, Cell, Columns, Section, Table, mean_sd, number, section
from radsynth.report.tidy import COHORT, Metrics, place

# Columns of ``of_family`` that are no part of the metrics.
ADDED = ["features", "space"]
KEYS = ["label", "generator", "reference"]


def quality(metrics: Metrics) -> Table:
    """KID and FID against each reference set, real against real beside them, and the copy rate in the same features."""
    rates, distances = copy_rates(metrics), of_family(metrics, "distance")
    note = (
        "Lower is closer. Real-real: mean ± SD over random parts of the real images of the class, patients apart. KID: "
        "the full U-statistic with its 95 % interval; it may be negative. FID is biased upwards in small samples: "
        "compare values of equal n only. Copy rate, in the same features: share of images that come as near to a "
        "training image as the nearest 1 % of held-out real images do, in brackets that of other held-out images; "
        "a small distance may come from copies."
    )
    sections = [
        section(_title("Distances", names), _lines(rows), _distances(rows, rates), note + _remarks(rows), len(KEYS))
        for names, rows in distances.groupby([*COHORT, "space"], sort=False)
    ]
    return "Image quality: distances", distances.drop(columns=ADDED), sections


def _lines(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop_duplicates(KEYS)


def _distances(rows: pd.DataFrame, rates: dict[tuple[str, ...], pd.Series]) -> Columns:
    """Return the columns of one section of distances; a line stands for all metrics of one pool and reference."""
    found = {(row["metric"], *row[KEYS]): row for _, row in rows.iterrows()}

    def of(metric: str, form: Callable[[pd.Series], str]) -> Callable[[pd.Series], str]:
        return lambda line: form(found[metric, *line[KEYS]]) if (metric, *line[KEYS]) in found else ""

    columns: Columns = {key: lambda line, key=key: line[key] for key in KEYS}
    return columns | {
        "KID [95 %]": of("kid", interval_text),
        "KID real-real": of("kid", control_text),
        "KID, subsets": of("kid_subsets", spread_text),
        "FID": of("fid", value_text),
        "FID real-real": of("fid", control_text),
        "n real / synthetic": lambda line: _pair(line["n_reference"], line["n_synthetic"]),
        "n real / real": lambda line: _pair(line["n_control_a"], line["n_control_b"]),
        "copy rate (held-out)": lambda line: beside_cell(rates.get((*line[POOL], line["features"]))),
    }


def coverage(metrics: Metrics) -> Table:
    """Precision, recall, density and coverage; then the diversity of the pools beside that of real images."""
    manifold, diversity = (of_family(metrics, family) for family in ("manifold", "diversity"))
    note = (
        "In brackets real against real, mean ± SD. Precision: share of synthetic images that fall among the real ones; "
        "recall: share of real images that fall among the synthetic ones (k = 3). Density and coverage: the same with "
        "more robust counts (k = 5). Higher is better."
    )
    sections = [
        beside(_title("Coverage", names), rows, KEYS, note)
        for names, rows in manifold.groupby([*COHORT, "space"], sort=False)
    ]
    note = (
        "Mean over random pairs of images with its 95 % interval, in brackets that of pairs of training images: "
        "MS-SSIM above or LPIPS below it means less variety. The Inception score has no reference and was made for "
        "photographs: it says little of radiographs. Bold: less varied than the training images."
    )
    sections += [
        beside(f"Diversity: {place(cohort)}", rows, KEYS[:2], note)
        for cohort, rows in diversity.groupby(COHORT, sort=False)
    ]
    table = pd.concat([manifold, diversity], ignore_index=True).drop(columns=ADDED)
    return "Image quality: coverage and diversity", table, sections


def memorisation(metrics: Metrics) -> Table:
    """What the pools repeat of their training images and of themselves, beside held-out real images."""
    table = of_family(metrics, "memorisation", "similarity")
    note = (
        "In brackets: held-out real images in place of the pool. Bold calls for a look at the images: a share on the "
        "wrong side of its control (Fisher's exact test), C_T below 0 (as a z-score) or a nearest image too near for "
        "the tail of held-out images, all with p < 0.05 after Holm's correction over all pools and metrics of the "
        "study; or any exact copy, duplicate or constant image. "
    )
    of_features = (
        "Copy rate: share of images as near to a training image, relative to its neighbours, as the nearest 1 % of "
        "held-out reals. Nearest image: the smallest of these distances (0 is a copy). AuthPct: share of images "
        "farther from their nearest training image than this is from its own nearest. C_T: z-score of the distances to "
        "the training images, below 0 if closer than held-out reals. DCR: distance to the closest training image; its "
        "median, the share of images that are closer to a training than to a held-out image, and the share within the "
        "smallest distances of held-out reals."
    )
    of_images = (
        "View copy rate and nearest view: with flipped, turned, shifted and cropped training images. Hash copy rate: "
        "perceptual hashes within the threshold. Exact copies and duplicates: all pixels equal. SSIM, PSNR and MSE "
        "(gray values squared): mean over the images, each to its nearest training image."
    )
    sections = []
    # Features first, then what is measured on the images themselves.
    ordered = table.sort_values("space", key=lambda spaces: spaces == "", kind="stable")
    for (*cohort, space), rows in ordered.groupby([*COHORT, "space"], sort=False):
        words = note + (of_features if space else of_images)
        sections.append(beside(_title("Memorisation", (*cohort, space)), rows, KEYS[:2], words))
    return "Memorisation", table.drop(columns=ADDED), sections


def experts(metrics: Metrics) -> Table:
    """How classifiers trained on real images alone recognise the pools (the paper's VGG Expert), beside real images."""
    keys = [*COHORT, "classifier", "generator", "label"]
    values = ["recognised", "mean_confidence", "recognised_real", "mean_confidence_real"]
    groups = metrics["recognition"].groupby(keys, sort=False)
    table = groups.agg(
        n_runs=("recognised", "count"),
        n=("n", "max"),
        n_real=("n_real", "max"),
        **{f"{name}_{how}": (name, how) for name in values for how in ("mean", "std")},
    ).reset_index()

    def shown(name: str):
        return lambda row: "" if math.isnan(row[f"{name}_mean"]) else mean_sd(row[f"{name}_mean"], row[f"{name}_std"])

    columns: Columns = {name: (lambda row, name=name: row[name]) for name in ("classifier", "generator", "label")}
    columns |= {
        "synthetic recognised": shown("recognised"),
        "mean confidence": shown("mean_confidence"),
        "real recognised": shown("recognised_real"),
        "mean confidence (real)": shown("mean_confidence_real"),
        "n synthetic / real": lambda row: " / ".join(number(row[name]) for name in ("n", "n_real")),
    }
    sections = [
        section(
            f"Recognition of synthetic images: {place(cohort)}",
            rows,
            columns,
            "Classifiers trained on real images alone: share of the images of a class that they recognise as such, and "
            "the mean probability they give to it; mean ± SD over runs. Real: test images that they have not seen.",
            3,
        )
        for cohort, rows in table.groupby(COHORT, sort=False)
    ]
    return "Recognition of synthetic images", table, sections


def beside(title: str, rows: pd.DataFrame, keys: list[str], note: str) -> Section:
    """Return a section with a line for each ``keys`` and a column for each metric: its value and its control."""
    columns = {}
    for metric, measured in rows.groupby("metric", sort=False):
        # The title names features that all share, else the column does.
        names = distinct(measured["features"]) if rows["space"].nunique() > 1 or not rows["space"].iloc[0] else []
        columns[metric] = ", ".join([MEANINGS[metric].shown, *(name for name in names if name != "images")])
    lines = []
    for key, measured in rows.groupby(keys, sort=False):
        cells = {row["metric"]: beside_cell(row) for _, row in measured.iterrows()}
        lines.append([*key, *(cells.get(metric, "") for metric in columns)])
    return Section(title, [*keys, *columns.values()], lines, note + _remarks(rows), len(keys))


def value_text(row: pd.Series) -> str:
    """Return a value with its unit; ``undefined`` where there is none."""
    return MEANINGS[row["metric"]].words(row["value"]) + ("†" if row["note"] else "")


def interval_text(row: pd.Series) -> str:
    """Return a value with its 95 % interval, where there is one."""
    form = MEANINGS[row["metric"]].text
    known = not (math.isnan(row["low"]) or math.isnan(row["high"]))
    return value_text(row) + (f" [{form(row['low'])} to {form(row['high'])}]" if known else "")


def spread_text(row: pd.Series) -> str:
    """Return a value ± its SD, where there is one."""
    sd = MEANINGS[row["metric"]].sd_text(row["sd"])
    return value_text(row) + (f" ± {sd}" if sd else "")


def control_text(row: pd.Series) -> str:
    """Return the control ± its SD; an empty text where there is none."""
    meaning = MEANINGS[row["metric"]]
    if math.isnan(row["control"]):
        return ""
    sd = meaning.sd_text(row["control_sd"]) if row["control_is"] == "real_real" else ""
    return meaning.words(row["control"]) + (f" ± {sd}" if sd else "")


def beside_cell(row: pd.Series | None) -> Cell:
    """Return ``value (control)``, bold where it is suspicious; an empty cell for what was not measured."""
    if row is None:
        return Cell("")
    control = control_text(row)
    value = interval_text(row) if row["family"] == "diversity" else value_text(row)
    return Cell(value + (f" ({control})" if control else ""), "bold" if suspicious(row) else "")


def _title(kind: str, names: tuple[str, ...]) -> str:
    *cohort, space = names
    return f"{kind}: {place(cohort)}; {f'features: {space}' if space else 'the images themselves'}"


def _pair(first: float, second: float) -> str:
    return "" if math.isnan(first) or math.isnan(second) else f"{first:.0f} / {second:.0f}"


def _remarks(rows: pd.DataFrame) -> str:
    """Return what the values marked † are, and why some are undefined."""
    text = "".join(f" † {remark}." for remark in sorted(set(rows["note"]) - {""}))
    undefined = rows[rows["value"].isna()]
    for (metric, reason), _ in undefined.groupby(["metric", "reason"], sort=False):
        text += f" {MEANINGS[metric].shown} {UNDEFINED}: {reason}."
    return text
