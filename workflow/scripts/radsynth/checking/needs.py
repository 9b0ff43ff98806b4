"""How much disk and memory a study needs, and which weights it lacks."""

from collections.abc import Mapping
from pathlib import Path

from radsynth.checking.contents import count_models, count_pools, draws
from radsynth.checking.machine import GB, Machine
from radsynth.checking.part import Part, counted
from radsynth.common.registry import KINDS, LPIPS_WEIGHTS, find
from radsynth.common.weights import weights_entry
from radsynth.study.config import Study
from radsynth.tasks.learner import weights_file

#: Bytes of a custom CNN of 128 px; most of it is one dense layer, which grows with the pixels.
KEPT_CLASSIFIER = 65e6
FEATURES = 2048


def disk_needed(study: Study, n_images: int) -> dict[str, float]:
    """Return roughly the bytes that results take, by what they are of; ``n_images``: images to prepare.

    A gray PNG has at most about a byte per pixel: images x size^2. A float32 model has 4 bytes per parameter; a
    selection keeps several. One training at a time has two checkpoints of 16 bytes per parameter (weights, their moving
    average, two moments of Adam). Features: 2,048 numbers of 4 bytes per image and extractor. Classifiers, if kept:
    65 MB x (size / 128)^2, as the custom CNN has; without keep_classifiers they are removed after use, not counted.
    """
    pixels, generators = study["image_size"] ** 2, study["generators"]
    pooled = sum(count_pools(study, name) * pool["size"] for name, pool in study["pools"].items())
    models, checkpoints = 0, 0
    for name, generator in generators.items():
        family = find("families", generator["family"], f"generators.{name}.family").load()
        parameters = family.count_parameters(generator["options"], study["image_size"])
        kept = 1 + generator["selection"].get("checkpoints", 0)
        models += 4 * parameters * kept * count_models(study, name)
        models += 4 * parameters * len(study.units(name)) * (name in study.pretrained())
        checkpoints = max(checkpoints, 2 * 16 * parameters)
    need = {
        "prepared images": n_images * pixels,
        "pools": pooled * pixels,
        "models": models + checkpoints,
        "features": (n_images + pooled) * FEATURES * 4 * len(study["quality"]["extractors"]),
    }
    if study["keep_classifiers"]:
        arms = sum(len(study.arms(scenario)) for scenario in study["scenarios"])
        trained = draws(study) * arms * len(study.judges()) * study["runs"]
        need["classifiers"] = trained * KEPT_CLASSIFIER * pixels / 128**2
    return need


def weights_needed(study: Study) -> list[str]:
    """Return the weights files that the study starts from, each once."""
    extractors = [*study["quality"]["extractors"], study["diversity_extractor"]]
    extractors += [sampling.get("extractor") for sampling in study["samplings"].values()]
    extractors += [generator["selection"].get("extractor") for generator in study["generators"].values()]
    files = [KINDS["extractors"][name].needs_weights for name in extractors if name]
    for generator in study["generators"].values():
        files.append(find("families", generator["family"], "family").load().needs_weights(generator["options"]))
    files += [LPIPS_WEIGHTS] if "lpips" in study["quality"]["diversity"] else []
    files += [weights_file(classifier) for classifier in study["classifiers"].values()]
    return [file for file in dict.fromkeys(files) if file]


def needs_part(
    study: Study,
    n_images: int,
    machine: Machine,
    memory: Mapping[str, int],
    measured: float | None,
    weights: str | Path = "resources/weights",
) -> Part:
    """Return what the study needs.

    ``n_images``: images of all datasets, 0 if not known. ``memory``: megabytes that a job of each rule asks for;
    ``measured``: the most that a job of this study has used, in MB, if any has run. ``weights``: folder of the files.
    """
    part = Part("What it needs")
    if study["paper"]["source"] == "archive":
        return part
    need = disk_needed(study, n_images)
    listed = ", ".join(f"{name} {_size(size)}" for name, size in need.items() if size)
    unknown = "" if n_images else "; prepared images are not counted, their number is not known yet"
    part.lines.append(f"disk: roughly {_size(sum(need.values()))} ({listed}{unknown})")
    if sum(need.values()) > machine.disk:
        part.look.append(
            f"disk: roughly {_size(sum(need.values()))} needed by the whole study, {_size(machine.disk)} free"
        )
    rule = max(memory, key=memory.get)
    used = f"; the most that a job of this study has used is {measured:,.0f} MB" if measured else ""
    part.lines.append(f"memory: the largest job ({rule}) asks for {memory[rule]:,} MB{used}")
    if memory[rule] * 1e6 > machine.memory and (measured or memory[rule]) * 1e6 > machine.memory:
        part.look.append(
            f"memory: {rule} asks for {memory[rule]:,} MB, this machine has {machine.memory / 1e6:,.0f} MB; small "
            "images need less, large ones may be killed"
        )
    files = weights_needed(study)
    missing = [file for file in files if not (Path(weights) / file).is_file()]
    part.lines.append(f"weights: {counted(len(files), 'file')}" + (", all there" if files and not missing else ""))
    for file in missing:
        entry = weights_entry(file)
        size = f"{entry['size'] / 1e6:.0f} MB" if "size" in entry else "size not known"
        part.lines.append(f"  {file} ({size}) is missing: fetched from {entry['url']} when it is needed")
    if missing:
        part.look.append(
            f"{counted(len(missing), 'weights file')} to be fetched: without Internet, put them into {weights}/"
        )
    return part


def _size(size: float) -> str:
    return f"{size / GB:,.1f} GB" if size >= GB / 10 else f"{size / 1e6:,.1f} MB"
