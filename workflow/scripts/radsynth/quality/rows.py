"""Rows of the quality JSON (workflow/schemas/quality.schema.yaml), each with every key."""

from collections.abc import Callable
from typing import Any

from radsynth.quality.arrays import Estimate, UndefinedError

EMPTY = {
    "family": "",
    "metric": "",
    "extractor": None,
    "preprocessing": None,
    "weights_sha256": None,
    "reference": "",
    "value": None,
    "low": None,
    "high": None,
    "sd": None,
    "reason": "",
    "note": "",
    "n_reference": None,
    "n_synthetic": None,
    "control": None,
    "control_sd": None,
    "control_is": "",
    "n_control_a": None,
    "n_control_b": None,
    "threshold": None,
    "tail_n": None,
    "tail_k": None,
    "tail_limit": None,
    "tail_excess": None,
    "planted": None,
}


def row(family: str, metric: str, **known: Any) -> dict[str, Any]:
    """Return a row with every key; what is not given is null or empty. KeyError if a key is none of a row's."""
    unknown = known.keys() - EMPTY.keys()
    if unknown:
        raise KeyError(f"no keys of a quality row: {', '.join(sorted(unknown))}")
    return EMPTY | {"family": family, "metric": metric} | known


def estimated(compute: Callable, *arguments: Any) -> dict[str, Any]:
    """Return value, low, high and sd of what a metric gives, or, where it is undefined, the reason."""
    try:
        result = compute(*arguments)
    except UndefinedError as error:
        return {"reason": str(error)}
    estimate = result if isinstance(result, Estimate) else Estimate(result)
    return {key: None if number is None else float(number) for key, number in estimate._asdict().items()}
