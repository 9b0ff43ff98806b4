"""How long a study takes, from jobs that have been measured; nothing is said of what has not been."""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from radsynth.checking.part import Part, counted
from radsynth.common.errors import UserError
from radsynth.study.config import Study

#: Rule and what runs in it: a generator, a classifier, a network, or '' where that makes no difference.
Kind = tuple[str, str]


@dataclass
class Measured:
    """Seconds of the measured jobs by kind, and the most memory (MB) that one has used."""

    seconds: dict[Kind, list[float]]
    memory: float = 0.0


def kinds_of(study: Study, files: Sequence[str], name: str) -> dict[str, Kind]:
    """Return the kind of each benchmark file, named ``.../NAME/benchmarks/RULE/JOB.tsv``; ``name`` is the folder's."""
    from radsynth.study.gpu_hours import gpu_jobs

    known = gpu_jobs(study)
    kinds = {}
    for file in files:
        job = file.rpartition(f"{name}/benchmarks/")[2].removesuffix(".tsv")
        kinds[file] = known.get(job, (job.partition("/")[0], ""))
    return kinds


def read_measured(kinds: Mapping[str, Kind]) -> Measured:
    """Return what the benchmark files that are there say."""
    measured = Measured(defaultdict(list))
    for file, kind in kinds.items():
        if not Path(file).is_file():
            continue
        with open(file, newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        if rows:
            measured.seconds[kind].append(sum(float(row["s"]) for row in rows) / len(rows))
            # Jobs too short to be sampled have no number.
            used = [float(row["max_rss"]) for row in rows if row["max_rss"] not in ("NA", "-")]
            measured.memory = max([measured.memory, *used])
    return measured


def borrowed(study: Study, results: str | Path = "results") -> tuple[str, dict[Kind, list[float]]]:
    """Return the seconds of kinds of jobs that a finished study beside this one shares with it, and that study's name.

    Shared are generators of the same family and options, and classifiers of the same options, at the same size of
    images. The study that shares the most kinds is taken; '' if none does.
    """
    best: tuple[str, dict[Kind, list[float]]] = ("", {})
    for config in sorted(Path(results).glob("*/metrics/config.yaml")):
        name = config.parts[-3]
        if name == study["study"]:
            continue
        try:
            other = Study(yaml.safe_load(config.read_text(encoding="utf-8")))
        except UserError:  # that of an earlier version
            continue
        if other["image_size"] != study["image_size"]:
            continue
        files = [path.as_posix() for path in (Path(results) / name / "benchmarks").glob("*/**/*.tsv")]
        seconds: dict[Kind, list[float]] = defaultdict(list)
        found = read_measured(kinds_of(other, files, name)).seconds
        for mine, theirs in _alike(study, other):
            for (rule, what), times in found.items():
                if what == theirs:
                    seconds[rule, mine] += times
        if len(seconds) > len(best[1]):
            best = name, dict(seconds)
    return best


def _alike(study: Study, other: Study) -> list[tuple[str, str]]:
    """Return the names of the same generators and classifiers in two studies."""
    keys = {
        "generators": ("family", "preset", "options", "sampler", "pretrain_on", "pretrain_steps"),
        "classifiers": None,
    }
    pairs = []
    for section, compared in keys.items():
        for mine, entry in study[section].items():
            for theirs, candidate in other[section].items():
                if all(entry.get(key) == candidate.get(key) for key in compared or {*entry, *candidate}):
                    pairs.append((mine, theirs))
    return pairs


def times_part(study: Study, files: Sequence[str], cores: int, results: str | Path = "results") -> tuple[Part, float]:
    """Return how long what is left takes, and the most memory (MB) that a job has used, 0 if none was measured.

    ``files`` are the benchmark files of the jobs that cost something. A job that is not done takes as long as the mean
    of those of its kind that are.
    """
    part = Part("How long it takes")
    if study["paper"]["source"] == "archive":
        return part, 0.0
    kinds = kinds_of(study, files, study["study"])
    measured = read_measured(kinds)
    known: dict[Kind, list[float]] = dict(measured.seconds)
    done = sum(map(len, known.values()))
    origin = f"{counted(done, 'job')} of {len(files):,} that cost something are done" if done else ""
    if not done:
        name, known = borrowed(study, results)
        origin = f"measured in the study {name}; other numbers of images make it another time" if name else ""
    if not known:
        part.lines.append("nothing is known yet: no job has been measured; the first jobs will tell")
        return part, measured.memory
    left = defaultdict(int)
    for file, kind in kinds.items():
        left[kind] += not Path(file).is_file()
    seconds = sum(count * sum(known[kind]) / len(known[kind]) for kind, count in left.items() if kind in known)
    unknown = {kind: count for kind, count in left.items() if count and kind not in known}
    least = "at least " if unknown else "about "
    part.lines.append(
        f"{least}{_duration(seconds)} of jobs one after the other, {_duration(seconds / cores)} if "
        f"{counted(cores, 'core')} each run one ({origin})"
    )
    if unknown:
        listed = ", ".join(f"{rule} {what}".strip() + f" ({count:,})" for (rule, what), count in unknown.items())
        part.lines.append(f"not measured yet, jobs left: {listed}")
    return part, measured.memory


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
