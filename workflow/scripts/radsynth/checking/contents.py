"""What a study consists of."""

from radsynth.checking.part import Part, counted
from radsynth.study.config import Study


def draws(study: Study) -> int:
    """Return how many combinations of dataset and sampling the study runs through."""
    return len(study.datasets("study")) * len(study["samplings"])


def count_models(study: Study, generator: str) -> int:
    """Return how many models of a generator are trained."""
    return draws(study) * len(study.units(generator))


def count_pools(study: Study, name: str) -> int:
    """Return how many pools of a name are made."""
    return draws(study) * len(study.pool_labels(name))


def _pools(study: Study, name: str) -> str:
    return f"{counted(count_pools(study, name), 'pool')} of {study['pools'][name]['size']:,} images"


def _is_usual(study: Study, pool: str) -> bool:
    """Return whether a pool is what its generator draws, which the line of the generator says."""
    return study["pools"][pool]["kind"] == "sampled" and study.needs[pool].models == (pool,)


def _pretraining(study: Study, generator: str) -> str:
    """Return what is trained before the cohorts' images are seen, if anything."""
    dataset = study["generators"][generator]["pretrain_on"]
    return f", after {counted(len(study.units(generator)), 'training')} on {dataset}" if dataset is not None else ""


def _generators(study: Study) -> list[str]:
    return [
        f"generator {name} ({generator['family']}, preset {generator['preset']}): "
        f"{counted(count_models(study, name), 'training')} on {generator['train_on']} "
        f"({', '.join(study.units(name))})"
        + _pretraining(study, name)
        + (f", {_pools(study, name)}" if name in study.needs and _is_usual(study, name) else "")
        for name, generator in study["generators"].items()
    ]


def _other_pools(study: Study) -> list[str]:
    return [
        f"pool {name} ({study['pools'][name]['kind']}): {_pools(study, name)}, made with "
        + ", ".join(needed for names in needs for needed in names)
        for name, needs in study.needs.items()
        if not _is_usual(study, name)
    ]


def plan_part(study: Study) -> Part:
    """Return what will run: cohorts, generators, pools and classifiers."""
    part = Part("What will run")
    if study["paper"]["source"] == "archive":
        version = study["paper"]["version"]
        part.lines.append(
            f"tables, figures and words from the archive {version}, in results/{study['study']}/archive/{version}/: no "
            "images, no GPU"
        )
        return part
    samplings, scenarios, runs = study["samplings"], study["scenarios"], study["runs"]
    part.lines.append(
        f"study {study['study']}: {study['image_size']} px, labels {', '.join(study.labels)}; "
        f"results in results/{study['study']}/"
    )
    cohorts = draws(study) * len(scenarios)
    part.lines.append(
        f"{counted(cohorts, 'cohort')}: {counted(len(study.datasets('study')), 'dataset')} x "
        f"{counted(len(samplings), 'sampling')} ({', '.join(samplings)}) x "
        f"{counted(len(scenarios), 'scenario')} ({', '.join(scenarios)})"
    )
    part.lines += [*_generators(study), *_other_pools(study)]
    arms = {scenario: study.arms(scenario) for scenario in scenarios}
    n_arms = sum(map(len, arms.values()))
    part.lines.append(
        f"{counted(draws(study) * n_arms * len(study.judges()) * runs, 'classifier training')}: "
        f"{', '.join(study.judges())} x {counted(runs, 'run')}, on "
        f"{', '.join(dict.fromkeys(arm for names in arms.values() for arm in names))}"
    )
    if steering := study.steering():
        part.lines.append(
            f"{counted(draws(study) * len(steering), 'classifier training')} only to steer pools: "
            f"{', '.join(dict.fromkeys(name for name, _ in steering))}"
        )
    tests = {scenario: study.real_test_sets(scenario) for scenario in scenarios}
    part.lines.append(
        "evaluation: each on "
        + "; ".join(f"{', '.join(names)} ({scenario})" for scenario, names in tests.items())
        + (f"; the images of every generator judged by {', '.join(study['experts'])}" if study["experts"] else "")
    )
    return part
