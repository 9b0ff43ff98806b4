"""Tables for people: each as csv (plain numbers), Markdown and LaTeX, one section per cohort."""

import math
from collections.abc import Callable

import pandas as pd

from radsynth.analysis.render import Cell, Section
from radsynth.analysis.tidy import BASELINE, COHORT, Metrics, mixes_in_order, per_run

Table = tuple[str, pd.DataFrame, list[Section]]
UNDEFINED = "undefined"


def mean_sd(mean: float, sd: float, digits: int = 3) -> str:
    """Return ``0.934 ± 0.011``; the SD is left out where it is undefined (a single run)."""
    if math.isnan(mean):
        return UNDEFINED
    return f"{mean:.{digits}f}" + ("" if math.isnan(sd) else f" ± {sd:.{digits}f}")


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, whole numbers plainly, an undefined one as an empty text."""
    if math.isnan(value):
        return ""
    return f"{value:.0f}" if value == int(value) or abs(value) >= 10**digits else f"{value:.{digits}g}"


def accuracy(metrics: Metrics, published: pd.DataFrame) -> Table:
    """Accuracy as in tables 4 to 7 of the paper: rows are classifiers, columns mixes, mean ± SD over runs."""
    runs = per_run(metrics["classification"], "accuracy")
    keys = [*COHORT, "classifier", "mix"]
    summary = (
        runs.groupby(keys, sort=False)
        .agg(
            n_runs=("value", "count"),
            n_testsets=("n_testsets", "max"),
            mean=("value", "mean"),
            sd=("value", "std"),
        )
        .reset_index()
    )
    comparisons = metrics["comparisons"]
    verdicts = comparisons[comparisons["metric"] == "accuracy"][[*keys, "difference", "ci_low", "ci_high", "verdict"]]
    printed = published[published["metric"] == "accuracy"].rename(
        columns={"mean": "published_mean", "sd": "published_sd", "table": "published_table", "note": "published_note"}
    )
    summary = summary.merge(verdicts, on=keys, how="left").merge(printed.drop(columns="metric"), on=keys, how="left")
    texts = [column for column in summary if column == "verdict" or column.startswith("published")]
    summary[texts] = summary[texts].fillna("")
    sections = [_accuracy_section(cohort, rows) for cohort, rows in summary.groupby(COHORT, sort=False)]
    return "Accuracy", summary, sections


def _accuracy_section(cohort: tuple[str, str, str], rows: pd.DataFrame) -> Section:
    mixes = mixes_in_order(rows["mix"])
    lines: list[list[Cell | str]] = []
    for classifier, arms in rows.groupby("classifier", sort=False):
        arms = arms.set_index("mix").reindex(mixes)
        best = _best(arms)
        cells = [
            Cell("" if math.isnan(arm["n_runs"]) else mean_sd(arm["mean"], arm["sd"]), "bold" if mix == best else "")
            for mix, arm in arms.iterrows()
        ]
        lines.append([classifier, *cells])
        tables = sorted(set(arms["published_table"].dropna()) - {""})
        if tables:
            texts = [
                f"{m} ± {s}" if isinstance(m, str) and m else ""
                for m, s in arms[["published_mean", "published_sd"]].to_numpy()
            ]
            lines.append([Cell(f"published, Table {', '.join(tables)}", "italic"), *(Cell(t, "italic") for t in texts)])
    counts = sorted({int(n) for n in rows["n_runs"]})
    n_runs = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    note = (
        f"Mean ± SD (runs: {n_runs}; test sets averaged in each run: {int(rows['n_testsets'].max())}). "
        "Bold: the best mix where the 95 % interval of its difference to the baseline excludes 0, or the baseline "
        "where that of every mix lies below 0."
    )
    return Section(f"Accuracy: {', '.join(cohort)}", ["classifier", *mixes], lines, note)


def _best(arms: pd.DataFrame) -> str | None:
    """Return the mix with the highest mean if it can be told from the baseline."""
    if arms["mean"].isna().all():
        return None
    best = arms["mean"].idxmax()
    if best == BASELINE:
        others = arms["verdict"].drop(BASELINE)
        return best if len(others) and (others == "hurts").all() else None
    return best if arms.loc[best, "verdict"] == "helps" else None


DISTANCES: dict[str, Callable[[pd.Series], str]] = {
    "generator": lambda row: row["generator"],
    "label": lambda row: row["label"],
    "metric": lambda row: row["metric"].upper(),
    "extractor": lambda row: row["extractor"],
    "reference": lambda row: row["reference"],
    "value": lambda row: _value(row),
    "real against real": lambda row: _baseline(row),
    "n real / synthetic": lambda row: _pair(row["n_reference"], row["n_synthetic"]),
    "n real / real": lambda row: _pair(row["real_real_n_a"], row["real_real_n_b"]),
}
COPIES: dict[str, Callable[[pd.Series], str]] = {
    "generator": lambda row: row["generator"],
    "label": lambda row: row["label"],
    "metric": lambda row: row["metric"].replace("_", " "),
    "extractor": lambda row: row["extractor"],
    "value": lambda row: _value(row),
    "held-out real images": lambda row: number(row["control"]),
    "n synthetic": lambda row: number(row["n_synthetic"]),
    "n held-out": lambda row: number(row["n_control"]),
}
SUBSETS: dict[str, Callable[[pd.Series], str]] = {
    "subset": lambda row: row["subset"],
    "label": lambda row: row["label"],
    "images": lambda row: number(row["n_images"]),
    "patients": lambda row: number(row["n_patients"]) or "unknown",
    "mean pairwise distance": lambda row: number(row["mean_pairwise_distance"], 4),
}


def _section(
    title: str, rows: pd.DataFrame, columns: dict[str, Callable[[pd.Series], str]], note: str, n_text: int
) -> Section:
    lines = [[column(row) for column in columns.values()] for _, row in rows.iterrows()]
    return Section(title, list(columns), lines, note, n_text)


def quality(metrics: Metrics) -> Table:
    """Distances with both n and the real-against-real baseline; copy and duplicate rates with their control."""
    table = metrics["quality"]
    sections = []
    for cohort, rows in table.groupby(COHORT, sort=False):
        is_distance = rows["metric"].isin(["fid", "kid"])
        note = (
            "Lower is closer. Real against real: mean ± SD over random disjoint parts of the real images of the class. "
            "FID is biased upwards in small samples: compare values of equal n only. KID may be negative."
        )
        note += "".join(f" † {remark}." for remark in sorted(set(rows["note"]) - {""}))
        sections.append(_section(f"Distances: {', '.join(cohort)}", rows[is_distance], DISTANCES, note, 5))
        note = (
            "Copy rate: share of images whose distance to the nearest training image, relative to the mean distance to "
            "the 50 nearest, is as small as that of the nearest 1 % of held-out real images. Exact copies: the same "
            "pixels. Duplicates: the same pixels within the pool. Other held-out real images are the control."
        )
        sections.append(_section(f"Copies: {', '.join(cohort)}", rows[~is_distance], COPIES, note, 4))
    return "Image quality", table, sections


def _value(row: pd.Series) -> str:
    if math.isnan(row["value"]):
        return f"{UNDEFINED} ({row['reason']})"
    return number(row["value"]) + ("†" if row["note"] else "")


def _baseline(row: pd.Series) -> str:
    mean, sd = number(row["real_real_mean"]), number(row["real_real_sd"], 2)
    return f"{mean} ± {sd}" if mean and sd else mean


def _pair(first: float, second: float) -> str:
    return "" if math.isnan(first) or math.isnan(second) else f"{first:.0f} / {second:.0f}"


def cohorts(metrics: Metrics) -> Table:
    """Images, patients and diversity (mean pairwise feature distance) of every cohort."""
    table = metrics["cohorts"]
    sections = []
    for cohort, rows in table.groupby(COHORT, sort=False):
        safe = set(rows["patient_safe"]) == {"true"}
        note = (
            f"{'Patient-safe' if safe else 'Not patient-safe: patients are unknown or not separated'}. "
            f"Distances: Euclidean, features of {', '.join(sorted(set(rows['extractor'])))}."
        )
        sections.append(_section(f"Cohorts: {', '.join(cohort)}", rows, SUBSETS, note, 2))
    return "Cohorts", table, sections


def costs(metrics: Metrics) -> Table:
    """Time and memory per stage."""
    groups = metrics["costs"].groupby("stage", sort=False)
    table = groups.agg(
        jobs=("job", "size"),
        total_seconds=("seconds", "sum"),
        mean_seconds=("seconds", "mean"),
        max_seconds=("seconds", "max"),
        max_rss_mb=("max_rss_mb", "max"),
        mean_cpu_percent=("cpu_percent", "mean"),
    ).reset_index()
    rows = [[row["stage"], *(number(value) for value in row.iloc[1:])] for _, row in table.iterrows()]
    header = ["stage", "jobs", "total (s)", "mean per job (s)", "longest (s)", "peak memory (MB)", "mean CPU load (%)"]
    note = "Wall-clock time and resident memory as measured by Snakemake; 100 % CPU load is one core."
    return "Costs", table, [Section("Costs by stage", header, rows, note)]


def sources(metrics: Metrics) -> dict[str, str]:
    """Return the source of every data set, from the entry ``datasets`` of study.csv (``name: source; ...``)."""
    study = metrics["study"].set_index("key")["value"]
    return dict(entry.split(": ") for entry in study["datasets"].split("; "))


PLAIN: dict[str, Callable[[Metrics], Table]] = {"quality": quality, "cohorts": cohorts, "costs": costs}
