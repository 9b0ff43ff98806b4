"""A results folder with planted effects, as the other stages would leave it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from radsynth.cohorts.testsets import stacked
from radsynth.common.files import write_json, write_text
from radsynth.fidelity.condition_verdicts import EMPTY
from radsynth.report.arms import CONTROL
from radsynth.report.chapter import read_metrics, tidy_tables
from radsynth.report.given import metric_tables
from radsynth.report.published import read_published
from radsynth.report.tidy import Metrics, write_csv
from radsynth.tasks.classification import evaluate, predictions_table

LABELS = ["NORMAL", "PNEUMONIA"]
COLUMNS = {name: tidy.columns for name, tidy in tidy_tables().items()}
# What stands beside the metrics where no paper has printed a value of their cohorts.
UNPUBLISHED = {"published": read_published([], {})}
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
    "extractors": ["inception_v3_fid", "pixels"],
    "runs": 5,
}
# Mixes without real images end in ``_only``; these are without synthetic ones.
ARMS = ("oversampled", "classical", "baseline_long")
# What a plan may add: other datasets as test sets, classifiers that judge the pools, a generator that copies, what
# ``control``s gain by longer training (0 if not named; None: there are none), the number of ``common`` test images (40
# if not named), the ``validation`` (patients if not named), and whether the pools have ``conditions``.
FULL = GRID | {"external": {"external_nih": 150}, "experts": ["vgg16_untrained", "vgg16_pretrained"]}


def plant(results: Path, plan: dict, seed: int = 0, patients: bool = True) -> dict[str, list[str]]:  # noqa: C901 (random numbers in one order)
    """Write what the jobs of a plan leave behind; return the inputs of the rule ``metrics``."""
    rng = np.random.default_rng(seed)
    names = "evaluations quality fidelity attacks summaries integrity benchmarks models pools trainings"
    paths = {name: [] for name in names.split()}

    def put(kind: str, path: str, value: dict) -> None:
        write_json(results / path, value)
        paths[kind].append(str(results / path))

    def cost(stage: str, *names: object, seconds: float) -> None:
        path = results / f"benchmarks/{stage}/{'/'.join(map(str, names))}.tsv"
        write_text(path, f"s\th:m:s\tmax_rss\tmean_load\n{seconds}\t0:00:10\t{800 + seconds}\t150\n")
        paths["benchmarks"].append(str(path))

    for dataset in plan["datasets"]:
        put("integrity", f"data/{dataset}/integrity.json", _integrity())
        for sampling in plan["samplings"]:
            for scenario, sizes in plan["scenarios"].items():
                cohort = (dataset, sampling, scenario)
                put("summaries", f"cohorts/{'/'.join(cohort)}/summary.json", _cohort(scenario, sizes, patients))
                shared = len({name == "greedy" for name in plan["samplings"]}) > 1  # by samplings of two methods
                common = plan.get("common", 40) if shared else 0
                if shared:
                    put("summaries", f"cohorts/{'/'.join(cohort)}/common.json", _common(common, patients))
                tests = {f"test_{k}": make_test(size, patients, rng) for k, size in enumerate(sizes, start=1)}
                tests |= {name: make_test(size, True, rng) for name, size in plan.get("external", {}).items()}
                if common:  # the same images for all samplings
                    tests["common"] = make_test(common, patients, np.random.default_rng(len(scenario)))
                pools = {f"synthetic_{generator}": make_test(100, False, rng) for generator in plan["generators"]}
                for classifier, accuracy in plan["classifiers"].items():
                    for run in range(1, plan["runs"] + 1):
                        shared = rng.normal(0, 0.01)
                        for mix, effect in (plan["mixes"] | _control_effects(plan)).items():
                            arm = (*cohort, mix, classifier, f"run_{run}")
                            folder = f"classifiers/{'/'.join(arm)}"
                            put("trainings", f"{folder}/training.json", {"device": "cpu"})
                            cost("train_classifier", *arm, seconds=10.5 + run)
                            cost("evaluate", *arm, seconds=2)
                            right = np.clip(accuracy + effect + shared + rng.normal(0, 0.005), 0, 0.995)
                            judges = mix == "baseline" and classifier in plan.get("experts", [])
                            for generator in plan["generators"] if judges else []:
                                cost("judge", *arm, "synthetic", generator, seconds=1)
                            examined = {"": tests}
                            if judges:
                                examined |= {f"{name.replace('_', '/', 1)}/": {name: pools[name]} for name in pools}
                            for below, sets in examined.items():
                                found = {
                                    name: predict(test, right - 0.15 * name.startswith("external"), rng)
                                    for name, test in sets.items()
                                }
                                made = {
                                    name: report(table, _train(scenario), _threshold(plan))
                                    for name, table in found.items()
                                }
                                put("evaluations", f"{folder}/{below}evaluation.json", made)
                                predictions = stacked(found).to_csv(index=False)
                                write_text(results / f"{folder}/{below}predictions.csv", predictions)
            for generator in plan["generators"]:
                if plan.get("conditions"):
                    put("fidelity", f"fidelity/{dataset}/{sampling}/small/{generator}.json", _conditions())
                for label in LABELS:
                    names = (dataset, sampling, "small", generator, label)
                    factor, copying = 1 + 0.5 * (generator == "pggan"), generator == plan.get("copying")
                    measured = quality(plan["extractors"], rng, factor, copying)
                    put("quality", f"quality/{'/'.join(names)}.json", measured)
                    model = results / f"generators/{'/'.join(names)}/model"
                    write_json(model / "describe.json", {"device": "NVIDIA H200"} if generator == "pggan" else {})
                    rows = _critic_losses(rng) if generator == "pggan" else _denoising_losses(rng)
                    write_text(model / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
                    paths["models"].append(str(model))
                    pool = results / f"pools/{'/'.join(names)}/manifest.csv"
                    write_text(pool, "index,device\n0,NVIDIA H200\n" if generator == "pggan" else "index,device\n0,\n")
                    paths["pools"].append(str(pool))
                    cost("train_generator", *names, seconds=3600 if generator == "pggan" else 5000)
                    cost("write_pool", *names, seconds=40)
    return paths


def metrics(folder: Path, plan: dict, **options) -> Metrics:
    """Return the metrics of a planted study, through their csv files in ``folder/metrics``."""
    paths = plant(folder, plan, **options)
    return read_metrics(write_metrics(folder / "metrics", paths, str(folder), plan))


def facts(plan: dict) -> dict:
    """Return the facts of a planted study; ``greedy`` is of another method, other samplings are random replicates."""
    return {
        "study": "planted",
        "seed": 7,
        "image_size": 32,
        "runs": plan["runs"],
        "samplings": {
            name: {"method": "k_center_greedy" if name == "greedy" else "random", "replicate": number}
            for number, name in enumerate(plan["samplings"], start=1)
        },
        "labels": ", ".join(LABELS),
        "positive_label": LABELS[1],
        "validation": plan.get("validation", "patients"),
        "validation_fraction": 0.2,
        "mixes": {
            name: {"real": not name.endswith("_only"), "pools": {} if name in ("baseline", *ARMS) else {name: 200}}
            for name in plan["mixes"]
        },
        "controls": {
            scenario: {mix: CONTROL + mixes[0] for mixes in _alike(plan) for mix in mixes}
            if plan.get("control", 0) is not None
            else {}
            for scenario in plan["scenarios"]
        },
        "alike": {scenario: _alike(plan) for scenario in plan["scenarios"]},
        "datasets": "; ".join(f"{name}: {'kaggle_cxr' if name == 'chest' else name}" for name in plan["datasets"]),
    }


def _alike(plan: dict) -> list[list[str]]:
    """Return the mixes with pools: those with real images are alike, the others are."""
    pooled = [name for name in plan["mixes"] if name not in ("baseline", *ARMS)]
    groups = [[name for name in pooled if name.endswith("_only") == only] for only in (False, True)]
    return [group for group in groups if group]


def _control_effects(plan: dict) -> dict[str, float]:
    effect = plan.get("control", 0.0)
    return {} if effect is None else {CONTROL + mixes[0]: effect for mixes in _alike(plan)}


def _threshold(plan: dict) -> float | None:
    return 0.9 if plan.get("validation", "patients") == "patients" else None


def write_metrics(target: Path, paths: dict, results: str, plan: dict) -> dict[str, Path]:
    """Write metrics/*.csv as the rule does; return their paths by name."""
    tables = metric_tables(paths, results, facts(plan))
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


def report(table: pd.DataFrame, trained_on: dict[str, int] | None = None, threshold: float | None = None) -> dict:
    """Return the metrics of a classifier on a test set, as the evaluation writes them."""
    made = {"architecture": "cnn", "weights": "none", "backend": "tensorflow", "device": "cpu"}
    made["trained_on"] = trained_on or dict.fromkeys(LABELS, 200)
    return evaluate(table, LABELS, LABELS[1], threshold) | made


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


def _conditions() -> dict:
    """Return what is said of the conditions of a pool: two attributes, one without power, and lesions."""
    told = {"kind": "attribute", "measure": "balanced_accuracy", "n": 400, "value": 0.8, "low": 0.7, "high": 0.9}
    told |= {"chance": 0.5, "chance_low": 0.45, "chance_high": 0.55, "p_value": 0.001}
    told |= {"n_train": 200, "n_real": 120, "n_real_groups": 60, "real": 0.9, "real_low": 0.8, "real_high": 0.95}
    told |= {"difference": -0.1, "difference_low": -0.2, "difference_high": 0.05, "ratio": 0.75, "verdict": "as_real"}
    lesion = {"kind": "lesion", "asked": "lesion", "measure": "contrast", "value": 12, "low": 10, "high": 14}
    lesion |= {"chance": 1, "chance_low": -2, "chance_high": 3, "real": 15, "real_low": 12, "real_high": 18}
    few = EMPTY | {"kind": "attribute", "asked": "density", "n": 4, "reason": "too few"}
    conditions = [EMPTY | told | {"asked": "view"}, few, EMPTY | told | lesion]
    return {"extractor": "pixels", "guidance": "3.0", "n_synthetic": 400, "conditions": conditions}


def _denoising_losses(rng: np.random.Generator) -> list[dict]:
    noise = np.exp(0.1 * rng.standard_normal(600))
    return [
        {"step": 10 * k, "images": 160 * k, "loss": 0.02 + 0.5 / k * noise[k - 1], "loss_per_snr": [1.0, None]}
        for k in range(1, 601)
    ]


def _critic_losses(rng: np.random.Generator) -> list[dict]:
    """The loss of a growing network: a spike at each new resolution."""
    rows = []
    for phase, resolution in enumerate([4, 8, 16, 32, 64, 128]):
        for k in range(150):
            spike = 12 * np.exp(-k / 8) * (phase > 0)
            real, fake, penalty = 5 + spike + rng.normal(), 1 + rng.normal(), 0.5 + spike / 3
            rows.append(
                {
                    "step": 100 * (150 * phase + k + 1),
                    "images": 400 * (150 * phase + k + 1),
                    "critic_loss": fake - real + penalty,
                    "generator_loss": -fake,
                    "real_score": real,
                    "fake_score": fake,
                    "gradient_penalty": penalty,
                    "resolution": resolution,
                    "alpha": min(1.0, k / 75) if phase else 1.0,
                }
            )
    return rows


def _train(scenario: str) -> dict[str, int]:
    return dict(zip(LABELS, (1500, 200) if scenario == "imbalanced" else (200, 200), strict=True))


def _cohort(scenario: str, sizes: list[int], patients: bool) -> dict:
    tests = {f"test_{k}": dict.fromkeys(LABELS, size // 2) for k, size in enumerate(sizes, start=1)}
    train = _train(scenario)
    validation = {label: n // 4 for label, n in train.items()}
    found = _summary({"train": train, "validation": validation} | tests, patients)
    return found | {"images_per_patient": dict.fromkeys(LABELS, 2.1 if patients else None)}


def _common(size: int, patients: bool) -> dict:
    return _summary({"common": dict.fromkeys(LABELS, size // 2) if size else {}}, patients)


def _summary(subsets: dict[str, dict[str, int]], patients: bool) -> dict:
    return {
        "subsets": {
            subset: {
                label: {
                    "n_images": n,
                    "n_patients": n // 2 if patients else None,
                    "images_per_patient": 2.0 if patients else None,
                    "mean_pairwise_distance": 12.345678,
                }
                for label, n in counts.items()
            }
            for subset, counts in subsets.items()
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


PREPROCESSING = {
    "inception_v3_fid": {"name": "pytorch-fid", "resize": "bilinear", "size": 299, "antialias": False},
    "pixels": {"name": "area32", "resize": "area", "size": 32, "antialias": True},
}
# What copying does to the memorisation metrics: value of an honest pool, of one that copies, and of held-out reals.
HONEST_COPYING_CONTROL = {
    "authpct": (74.0, 41.0, 72.0),
    "c_t": (0.8, -9.3, 0.1),
    "dcr_median": (14.2, 6.1, 13.8),
    "dcr_share": (0.49, 0.71, 0.5),
    "dcr_tail": (0.009, 0.12, 0.011),
    "copy_rate": (0.004, 0.061, 0.01),
    "nearest_copy": (0.42, 0.03, 0.44),
}
TAIL = {"tail_n": 800, "tail_k": 80, "tail_limit": 0.62, "tail_excess": 0.07}


def quality_row(family: str, metric: str, value: float | None, **given) -> dict:
    """Return one row of a pool's quality JSON with all keys of the schema."""
    row = dict.fromkeys(
        ("extractor", "preprocessing", "weights_sha256", "low", "high", "sd", "n_reference", "control", "control_sd")
    )
    row |= dict.fromkeys(("n_control_a", "n_control_b", "threshold", "planted", *TAIL))
    row |= {"family": family, "metric": metric, "value": value, "reference": "", "control_is": "", "note": ""}
    row |= {"reason": "" if value is not None else "planted: too few images", "n_synthetic": 2000}
    return row | given


def quality(extractors: list[str], rng: np.random.Generator, factor: float = 1.0, copying: bool = False) -> dict:
    """Return a pool's quality JSON: every family, for each extractor; of ``inception_v3_fid`` C_T is undefined.

    ``factor`` makes the distances larger, ``copying`` plants copies of training images.
    """
    rows = []
    for extractor in extractors:
        made = {"extractor": extractor, "preprocessing": PREPROCESSING[extractor], "weights_sha256": None}
        for reference, n in (("all", 1800), ("train", 200), ("held_out", 1600)):
            against = made | {"reference": reference, "n_reference": n, "control_is": "real_real"}
            against |= {"n_control_a": 900, "n_control_b": 900}
            note = "no more images than dimensions (2048): mostly bias" if n < 2048 else ""
            shift = factor * (0.8 + 0.4 * rng.random())
            kid = 0.04 * shift
            interval = {"low": kid - 0.003, "high": kid + 0.003}
            rows += [
                quality_row("distance", "fid", 80 * shift, control=18.4, control_sd=0.3, **against | {"note": note}),
                quality_row("distance", "kid", kid, control=-1e-5, control_sd=3e-4, **interval, **against),
                quality_row("distance", "kid_subsets", kid, sd=0.002, control=1e-5, control_sd=9e-4, **against),
            ]
            for metric, value, control in (
                *(("precision", 0.68, 0.71), ("recall", 0.31, 0.76)),
                *(("density", 0.83, 0.97), ("coverage", 0.55, 0.96)),
            ):
                value *= (1 if metric == "precision" else 1 / factor) * (0.95 + 0.1 * rng.random())
                rows.append(quality_row("manifold", metric, value, control=control, control_sd=0.012, **against))
        beside = made | {"reference": "train", "n_reference": 200, "control_is": "held_out", "n_control_a": 800}
        for metric, values in HONEST_COPYING_CONTROL.items():
            value = None if (extractor, metric) == ("inception_v3_fid", "c_t") else values[copying]
            threshold = 0.7 if metric == "copy_rate" else None
            given = {"control": None if value is None else values[2], "threshold": threshold}
            given |= TAIL if metric == "nearest_copy" else {}
            rows.append(quality_row("memorisation", metric, value, **given, **beside))
    pairs = {"control_is": "real_pairs", "n_control_a": 500}
    alexnet = {"preprocessing": {"name": "alexnet"}}
    scales = {"preprocessing": {"name": "ms_ssim", "resize": "none", "scales": 3}}
    rows += [
        quality_row("diversity", "ms_ssim", 0.39, low=0.37, high=0.41, sd=0.1, control=0.31, **pairs | scales),
        quality_row("diversity", "lpips", 0.33, low=0.32, high=0.34, sd=0.05, control=0.33, **pairs | alexnet),
        quality_row("diversity", "inception_score", 2.1, low=2.0, high=2.2, sd=0.1),
    ]
    train = {"reference": "train", "n_reference": 200, "control_is": "held_out", "n_control_a": 800}
    rows += [
        quality_row("similarity", "ssim", 0.9 if copying else 0.62, sd=0.06, control=0.6, control_sd=0.07, **train),
        quality_row("similarity", "psnr", 31 if copying else 21.4, sd=2.0, control=21.0, control_sd=2.1, **train),
        quality_row("similarity", "mse", 52 if copying else 471, sd=90.0, control=516, control_sd=120, **train),
        quality_row("memorisation", "view_copy_rate", 0.03 if copying else 0.009, control=0.01, threshold=0.6, **train),
        quality_row("memorisation", "hash_copy_rate", 0.0, control=0.001, threshold=4.0, **train),
        quality_row("memorisation", "view_nearest_copy", 0.4, control=0.43, planted=0.2, **TAIL, **train),
        quality_row("memorisation", "exact_copy_rate", 0.0005 * copying, control=0.0, **train),
        quality_row("memorisation", "duplicate_rate", 0.0, control=0.001, control_is="held_out", n_control_a=1600),
        quality_row("memorisation", "constant_rate", 0.0, control=0.0, control_is="held_out", n_control_a=1600),
    ]
    named = {"metric": "nearest_copy", "extractor": extractors[0], "nearest_image_id": "NORMAL-7"}
    suspects = [named | {"file": f"images/00000{k}.png", "distance": 0.03, "chance": 1e-12} for k in range(12)]
    return {"n_synthetic": 2000, "metrics": rows, "suspects": suspects if copying else []}
