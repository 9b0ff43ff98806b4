"""A results folder with planted effects, as the other stages would leave it."""

from pathlib import Path

import numpy as np
import pandas as pd
from radsynth.analysis import collect, statistics
from radsynth.analysis.tidy import COLUMNS, Metrics, read_metrics, write_csv
from radsynth.classifiers.evaluation import evaluate, predictions_table
from radsynth.common.files import write_json, write_text

LABELS = ["NORMAL", "PNEUMONIA"]
SMALL = {
    "datasets": ["phantom"],
    "samplings": ["random"],
    "scenarios": {"small": [120]},
    "classifiers": {"custom_cnn": 0.8},
    "mixes": {"baseline": 0.0, "ddpm": 0.08},
    "generators": ["ddpm"],
    "extractors": ["pixels"],
    "runs": 3,
}
GRID = {
    "datasets": ["chest"],
    "samplings": ["random", "greedy"],
    "scenarios": {"small": [300], "imbalanced": [80, 80, 80]},
    "classifiers": {"custom_cnn": 0.9, "vgg16_untrained": 0.86, "vgg16_pretrained": 0.93, "resnet50_pretrained": 0.94},
    "mixes": {"baseline": 0.0, "ddpm": 0.04, "pggan": -0.03},
    "generators": ["ddpm", "pggan"],
    "extractors": ["inception"],
    "runs": 5,
}


def plant(results: Path, plan: dict, seed: int = 0, patients: bool = True) -> dict[str, list[str]]:
    """Write evaluations, quality, cohorts, integrity and benchmarks; return the inputs of the rule ``metrics``."""
    rng = np.random.default_rng(seed)
    paths = {name: [] for name in ("evaluations", "quality", "summaries", "integrity", "benchmarks")}

    def put(kind: str, path: str, value: dict) -> None:
        write_json(results / path, value)
        paths[kind].append(str(results / path))

    for dataset in plan["datasets"]:
        put("integrity", f"data/{dataset}/integrity.json", _integrity())
        for sampling in plan["samplings"]:
            for scenario, sizes in plan["scenarios"].items():
                cohort = f"{dataset}/{sampling}/{scenario}"
                put("summaries", f"cohorts/{cohort}/summary.json", _cohort(sizes, patients))
                tests = {f"test_{k}": make_test(size, patients, rng) for k, size in enumerate(sizes, start=1)}
                for classifier, accuracy in plan["classifiers"].items():
                    for run in range(1, plan["runs"] + 1):
                        shared = rng.normal(0, 0.01)
                        for mix, effect in plan["mixes"].items():
                            right = np.clip(accuracy + effect + shared + rng.normal(0, 0.005), 0, 0.995)
                            for name, test in tests.items():
                                stem = f"classifiers/{cohort}/{mix}/{classifier}/run_{run}/{name}"
                                table = predict(test, right, rng)
                                put("evaluations", f"{stem}.json", report(table))
                                write_text(results / f"{stem}.csv", table.to_csv(index=False))
                        job = f"train_classifier/{cohort}/{classifier}_{run}".replace("/", "_").replace("_", "/", 1)
                        path = results / f"benchmarks/train_classifier/{job.split('/')[-1]}.tsv"
                        write_text(path, f"s\th:m:s\tmax_rss\tmean_load\n{10 + run}.5\t0:00:10\t{800 + run}\t150\n")
                        paths["benchmarks"].append(str(path))
            for generator in plan["generators"]:
                for label in LABELS:
                    put(
                        "quality",
                        f"quality/{dataset}/{sampling}/small/{generator}/{label}.json",
                        _quality(plan["extractors"], rng),
                    )
    return paths


def metrics(folder: Path, plan: dict, **options) -> Metrics:
    """Return the metrics of a planted study, through their csv files in ``folder/metrics``."""
    paths = plant(folder, plan, **options)
    return read_metrics(write_metrics(folder / "metrics", paths, str(folder), plan))


def write_metrics(target: Path, paths: dict, results: str, plan: dict) -> dict[str, Path]:
    """Write metrics/*.csv as the rule does; return their paths by name."""
    evaluations = [collect.read_evaluation(path, results) for path in paths["evaluations"]]
    facts = {
        "study": "planted",
        "seed": 7,
        "image_size": 32,
        "runs": plan["runs"],
        "datasets": "; ".join(f"{name}: {'kaggle_cxr' if name == 'chest' else name}" for name in plan["datasets"]),
    }
    tables = {
        "study": collect.study_rows(facts),
        "integrity": collect.integrity_rows(paths["integrity"], results),
        "cohorts": collect.cohort_rows(paths["summaries"], results),
        "quality": collect.quality_rows(paths["quality"], results),
        "classification": collect.classification_rows(evaluations),
        "confusion": collect.confusion_rows(evaluations),
        "comparisons": statistics.compare(evaluations, 7, draws=500),
        "costs": collect.cost_rows(paths["benchmarks"], results),
    }
    files = {name: target / f"{name}.csv" for name in tables}
    for name, rows in tables.items():
        write_csv(files[name], COLUMNS[name], rows)
    return files


def predict(test: pd.DataFrame, accuracy: float, rng: np.random.Generator) -> pd.DataFrame:
    """Return predictions that are right with the given probability."""
    positive = (test["label"] == LABELS[1]).to_numpy() == (rng.random(len(test)) < accuracy)
    confidence = 0.5 + 0.5 * rng.random(len(test))
    score = np.where(positive, confidence, 1 - confidence)
    return predictions_table(test, np.stack([1 - score, score], axis=1), LABELS)


def report(table: pd.DataFrame) -> dict:
    """Return the metrics of a classifier on a test set, as the evaluation writes them."""
    return evaluate(table, LABELS, LABELS[1]) | {"architecture": "cnn", "weights": "none", "backend": "tensorflow"}


def make_test(size: int, patients: bool, rng: np.random.Generator) -> pd.DataFrame:
    """Return a test set of which four images each belong to one patient."""
    ids = [f"image_{i:05d}" for i in rng.choice(10 * size, size, replace=False)]
    return pd.DataFrame(
        {
            "image_id": ids,
            "label": [LABELS[i % 2] for i in range(size)],
            "patient_id": [f"p{i // 4}" if patients else "" for i in range(size)],
        }
    )


def _cohort(sizes: list[int], patients: bool) -> dict:
    subsets = {"train": 200} | {f"test_{k}": size // 2 for k, size in enumerate(sizes, start=1)}
    return {
        "subsets": {
            subset: {
                label: {"n_images": n, "n_patients": n // 2 if patients else None, "mean_pairwise_distance": 12.345678}
                for label in LABELS
            }
            for subset, n in subsets.items()
        },
        "extractor": "pixels",
        "left_out": dict.fromkeys(LABELS, 3),
        "patient_safe": patients,
        "available": dict.fromkeys(LABELS, 1800),
    }


def _integrity() -> dict:
    checks = [
        {
            "check": "exact_duplicates",
            "label": "NORMAL",
            "count": 2,
            "files": ["a", "b"],
            "fatal": False,
            "what_was_done": "kept, grouped",
        },
        {"check": "alpha_dropped", "label": "", "count": 0, "files": [], "fatal": False, "what_was_done": ""},
    ]
    return {"counts": dict.fromkeys(LABELS, 1800), "expected": None, "checks": checks}


def _quality(extractors: list[str], rng: np.random.Generator) -> dict:
    rows, rates = [], []
    for extractor in extractors:
        for reference, n in (("all", 1800), ("train", 200), ("held_out", 1600)):
            for metric, value, mean, sd in (("fid", 80, 18.4, 0.3), ("kid", 0.04, -1e-5, 3e-4)):
                rows.append(
                    {
                        "metric": metric,
                        "extractor": extractor,
                        "preprocessing": "as is",
                        "weights_sha256": None,
                        "reference": reference,
                        "value": value * (0.6 + rng.random()),
                        "n_reference": n,
                        "n_synthetic": 2000,
                        "real_real_mean": mean,
                        "real_real_sd": sd,
                        "real_real_n": [900, 900],
                        "reason": "",
                        "note": "",
                    }
                )
        rates.append(
            {
                "metric": "copy_rate",
                "extractor": extractor,
                "value": 0.004,
                "control": 0.01,
                "n_reference": 200,
                "n_synthetic": 2000,
                "n_control": 1600,
                "threshold": 1.5,
                "reason": "",
            }
        )
    rates.append(
        {
            "metric": "duplicate_rate",
            "extractor": None,
            "value": 0.0,
            "control": 0.001,
            "n_reference": None,
            "n_synthetic": 2000,
            "n_control": 1600,
            "threshold": None,
            "reason": "",
        }
    )
    return {"n_synthetic": 2000, "metrics": rows, "memorisation": rates}
