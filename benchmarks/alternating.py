"""Sides measured in turn, so that whatever else the machine does meets all of them alike."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch


def seconds_each(step: Callable[[], Any], count: int) -> float:
    """Return the mean seconds of ``count`` calls; the device is idle before and after them."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    began = time.perf_counter()
    for _ in range(count):
        step()
    wait()
    return (time.perf_counter() - began) / count


def in_turn(sides: Mapping[str, Callable[[], float]], repeats: int, deadline: float = math.inf) -> dict[str, Any]:
    """Measure all sides once per repeat; ours is the first of them.

    ``sides`` return seconds. From ``deadline`` (of time.monotonic) on no repeat begins, except the first.
    Returns for JSON: ``seconds`` (a list per side), ``medians``, ``ratios`` (a peer's median over ours), ``repeats``,
    whether the measurement is ``complete`` and, if not, the ``reason``.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    done = 0
    while done < repeats and (done == 0 or time.monotonic() < deadline):
        for name, side in sides.items():
            seconds[name].append(side())
        done += 1
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ours, *peers = medians
    ratios = {peer: medians[peer] / medians[ours] for peer in peers}
    found = {"seconds": seconds, "medians": medians, "ratios": ratios, "repeats": done, "complete": done == repeats}
    short = f"the time was up after {done} of {repeats} repeats: call the part again"
    return found if done == repeats else {**found, "reason": short}
