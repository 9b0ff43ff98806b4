"""What jobs ask of a machine, by the number of images that they look at, as Snakemake's functions of resources."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError


def images_in(tables: Iterable[str]) -> int:
    """Return how many images tables list; none while they are not there, but Snakemake asks again before a job runs."""
    count = 0
    for table in tables:
        if Path(table).is_file():
            with open(table, "rb") as lines:
                count += max(sum(1 for _ in lines) - 1, 0)
    return count


def _named(input: Any, names: Iterable[str]) -> list[str]:
    """Return the files of a job's inputs of some names."""
    return [file for name in names for file in ([input[name]] if isinstance(input[name], str) else input[name])]


def memory(megabytes: int, per_image: float = 0, *tables: str) -> Callable[..., int]:
    """Return a mem_mb function that asks for half as much again at each further attempt.

    ``per_image`` is what each image adds that the job's inputs of the names ``tables`` list.
    """
    if not tables:
        return lambda wildcards, attempt: int(megabytes * (1 + 0.5 * (attempt - 1)))
    return lambda wildcards, input, attempt: int(
        (megabytes + per_image * images_in(_named(input, tables))) * (1 + 0.5 * (attempt - 1))
    )


def minutes(base: int, *tables: str, per_image: float = 0, per_pair: float = 0) -> Callable[..., int]:
    """Return a runtime function that grows with the images in the job's inputs ``tables``, or with their pairs."""

    def runtime(wildcards: Any, input: Any) -> int:
        count = images_in(_named(input, tables))
        return int(base + per_image * count + per_pair * count**2)

    return runtime


def check_variables(default_resources: Any) -> None:
    """Raise WorkflowError if a profile's resource is a variable of the environment that is not set.

    Snakemake hands on its name, and a cluster would refuse job after job.
    """
    for name, resource in (default_resources or {}).items():
        variable = re.fullmatch(r"\$\{?(\w+)\}?", str(resource.raw))
        if variable and not os.environ.get(variable[1]):
            raise WorkflowError(
                f"profile: default-resources.{name}: {variable[1]} is not set, expected `export {variable[1]}=...`"
            )


def asked_memory(rules: Iterable[Any]) -> dict[str, int]:
    """Return, by Snakemake's rules, how many megabytes a first attempt asks for, while no image has been counted."""
    given = {"input": defaultdict(list), "threads": min(32, os.cpu_count() or 1), "attempt": 1}
    return {rule.name: rule.resources["mem_mb"].evaluate(None, **given).value for rule in rules if rule.output}
