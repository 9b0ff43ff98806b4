"""GPU hours of a study, from the jobs that have been measured.

python -m radsynth.study.gpu_hours CONFIG [BENCHMARKS]

CONFIG is a configuration file. BENCHMARKS is the folder of the study's benchmark files (results/STUDY/benchmarks if not
given) or the costs.csv of an archive: one finished job of each kind is enough for an estimate.
"""

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pandas as pd
import yaml

from radsynth.common.errors import UserError
from radsynth.common.registry import KINDS
from radsynth.privacy.attacks_section import access_of
from radsynth.study.config import Study

#: The stages whose jobs hold as many GPUs as their generator asks for.
TRAINED = ("pretrain_generator", "train_generator")


def gpu_jobs(study: Study) -> dict[str, tuple[str, str]]:
    """Return stage and name (generator, classifier or network) of the jobs that hold a GPU, by their benchmark file."""
    jobs = {}
    for name, dataset in study.pretrained().items():
        for unit in study.units(name):
            jobs[f"pretrain_generator/{dataset}/{name}/{unit}"] = ("pretrain_generator", name)
    for dataset, sampling in product(study.datasets("study"), study["samplings"]):
        for name, generator in study["generators"].items():
            cohort = f"{dataset}/{sampling}/{generator['train_on']}/{name}"
            selected = generator["selection"]["method"] != "last"
            for unit in study.units(name):
                for stage in ["train_generator", *["select_model"] * selected]:
                    jobs[f"{stage}/{cohort}/{unit}"] = (stage, name)
        for pool in study["pools"]:
            modelled = [name for name in study["attacks"] if access_of(study.config, name) == "model"]
            for label in study.pool_labels(pool):
                job = f"{dataset}/{sampling}/{study.pool_scenario(pool)}/{pool}/{label}"
                jobs[f"write_pool/{job}"] = ("write_pool", pool)
                for name in modelled if study.needs[pool].models else ():
                    jobs[f"attack/{job}/{name}"] = ("attack", name)
        for scenario, name, run in product(study["scenarios"], study.judges(), range(1, study["runs"] + 1)):
            for mix in study.arms(scenario):
                for stage in ("train_classifier", "evaluate"):
                    jobs[f"{stage}/{dataset}/{sampling}/{scenario}/{mix}/{name}/run_{run}"] = (stage, name)
            for pool in study["pools"] if name in study["experts"] else ():
                judged = f"{dataset}/{sampling}/{scenario}/baseline/{name}/run_{run}/synthetic/{pool}"
                jobs[f"judge/{judged}"] = ("judge", name)
        for name, scenario in study.steering():
            job = f"train_classifier/{dataset}/{sampling}/{scenario}/baseline/{name}/run_1"
            jobs[job] = ("train_classifier", name)
    return jobs | dict(_measuring_jobs(study))


def _measuring_jobs(study: Study) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the jobs that look at images with a network, in the same way."""
    quality = study["quality"]["extractors"]
    sampled = [sampling["extractor"] for sampling in study["samplings"].values() if "extractor" in sampling]
    networks = [
        name
        for name in dict.fromkeys([*quality, study["diversity_extractor"], *sampled])
        if KINDS["extractors"][name].needs_weights
    ]
    for dataset, name in product(study.datasets("study"), networks):
        yield f"features_real/{name}/{dataset}", ("features_real", name)
    for dataset, sampling, made in product(study.datasets("study"), study["samplings"], study["pools"]):
        cohort = f"{dataset}/{sampling}/{study.pool_scenario(made)}"
        if "domain" in quality:
            yield f"features_domain_real/{cohort}", ("features_domain_real", "domain")
        for label in study.pool_labels(made):
            pool = f"{cohort}/{made}/{label}"
            for name in networks:
                if name in quality:
                    yield f"features_pool/{name}/{pool}", ("features_pool", name)
            if "domain" in quality:
                yield f"features_domain_pool/{pool}", ("features_domain_pool", "domain")
            if "lpips" in study["quality"]["diversity"]:
                yield f"pairs_real/{cohort}/{label}", ("pairs_real", "lpips")
                yield f"pairs_pool/{pool}", ("pairs_pool", "lpips")


def measured_seconds(source: Path, jobs: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Return the measured jobs of a folder of benchmark files or of a costs.csv: stage, name, seconds."""
    if source.suffix == ".csv":
        return pd.read_csv(source, usecols=["stage", "name", "seconds"]).dropna()
    rows = []
    for job, (stage, name) in jobs.items():
        file = source / f"{job}.tsv"
        if file.is_file():
            rows.append((stage, name, pd.read_csv(file, sep="\t")["s"].mean()))
    return pd.DataFrame(rows, columns=["stage", "name", "seconds"])


def gpu_hours(study: Study, source: Path) -> pd.DataFrame:
    """Return by stage and name: jobs, how many were measured, minutes of one, GPU hours of all; NaN if none was."""
    jobs = gpu_jobs(study)
    measured = measured_seconds(source, jobs).groupby(["stage", "name"])["seconds"]
    table = pd.DataFrame(jobs.values(), columns=["stage", "name"]).value_counts(sort=False).rename("jobs").to_frame()
    table = table.loc[list(dict.fromkeys(jobs.values()))]
    table["measured"] = measured.count().reindex(table.index).fillna(0).astype(int)
    table["minutes"] = measured.mean().reindex(table.index) / 60
    held = [study["generators"][name]["gpus"] if stage in TRAINED else 1 for stage, name in table.index]
    table["gpu_hours"] = table["jobs"] * table["minutes"] / 60 * held
    return table.reset_index()


def main(arguments: list[str]) -> None:
    if not arguments:
        raise UserError("usage: python -m radsynth.study.gpu_hours CONFIG [BENCHMARKS]")
    study = Study(yaml.safe_load(Path(arguments[0]).read_text(encoding="utf-8")))
    source = Path(arguments[1] if arguments[1:] else f"results/{study['study']}/benchmarks")
    if not source.exists():
        raise UserError(f"{source}: not found, expected the benchmark files of a study or the costs.csv of an archive")
    table = gpu_hours(study, source)
    print(table.to_string(index=False, float_format="{:.2f}".format, na_rep="not measured"))
    missing = table["gpu_hours"].isna().any()
    print(f"{'at least ' if missing else ''}{table['gpu_hours'].sum():.2f} GPU hours, if they were measured on a GPU")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
