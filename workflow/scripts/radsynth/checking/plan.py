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


def _made_with(study: Study, pool: str) -> str:
    return ", ".join(name for names in study.needs[pool] for name in names)


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
    for name, generator in study["generators"].items():
        units = ", ".join(study.units(name))
        part.lines.append(
            f"generator {name} ({generator['family']}, preset {generator['preset']}): "
            f"{counted(count_models(study, name), 'training')} on {generator['train_on']} ({units})"
        )
    for name, pool in study["pools"].items():
        pools = f"{counted(count_pools(study, name), 'pool')} of {pool['size']:,} images"
        # The usual pool of a generator stands in its line.
        if pool["kind"] == "sampled" and pool["generator"] == name:
            usual = next(index for index, line in enumerate(part.lines) if line.startswith(f"generator {name} ("))
            part.lines[usual] += f", {pools}"
        else:
            part.lines.append(f"pool {name} ({pool['kind']}): {pools}, made with {_made_with(study, name)}")
    arms = {scenario: study.arms(scenario) for scenario in scenarios}
    n_arms = sum(map(len, arms.values()))
    part.lines.append(
        f"{counted(draws(study) * n_arms * len(study.judges()) * runs, 'classifier training')}: "
        f"{', '.join(study.judges())} x {counted(runs, 'run')}, on "
        f"{', '.join(dict.fromkeys(arm for names in arms.values() for arm in names))}"
    )
    tests = {scenario: study.real_test_sets(scenario) for scenario in scenarios}
    part.lines.append(
        "evaluation: each on "
        + "; ".join(f"{', '.join(names)} ({scenario})" for scenario, names in tests.items())
        + (f"; the images of every generator judged by {', '.join(study['experts'])}" if study["experts"] else "")
    )
    return part
