"""A logger for Snakemake that says in words what it does, how much of it is done, and how long the rest takes.

``PYTHONPATH=workflow/plugins snakemake --logger words ...``; Snakemake's own log file stays as it is.
"""

import logging
import sys
import time
from collections import Counter, defaultdict

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

#: How much longer a job of a rule takes than most do, until the first of its jobs is done and tells.
LONG = {"prepare_data": 4, "pretrain_generator": 25, "train_generator": 25, "train_classifier": 4}
#: Beginnings of the notes to show; warnings and errors are always shown.
NOTES = ("Nothing to be done", "Terminating processes")


def duration(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 60:
        return "less than a minute"
    minutes = round(seconds / 60)
    number, unit = (minutes, "minute") if minutes < 100 else (round(minutes / 60), "hour")
    return f"about {number} {unit}{'s' if number > 1 else ''}"


class Pace:
    """What jobs have taken so far, and what the rest will take. Times are seconds of any one clock."""

    def __init__(self, waiting: Counter[str], now: float):
        self.waiting, self.began, self.done = waiting, now, 0
        self.running: dict[int, tuple[str, float]] = {}
        self.taken: dict[str, list[float]] = defaultdict(list)

    def start(self, job: int, rule: str, now: float) -> None:
        """Note that a job starts, or starts once more."""
        if job not in self.running:
            self.waiting[rule] -= 1
        self.running[job] = rule, now

    def finish(self, job: int, now: float) -> None:
        """Note that a job is done, or one of a group that was not said to start."""
        rule, began = self.running.pop(job, ("", now))
        self.taken[rule].append(now - began)
        self.done += 1

    def left(self, now: float) -> float | None:
        """Return in how many seconds all will be done, if as many jobs run at once as so far; None before one is."""
        spent = sum(map(sum, self.taken.values()))
        if not spent:
            return None
        usual = spent / sum(LONG.get(rule, 1) * len(times) for rule, times in self.taken.items())

        def expected(rule: str) -> float:
            times = self.taken.get(rule)
            return sum(times) / len(times) if times else LONG.get(rule, 1) * usual

        ages = [(rule, now - began) for rule, began in self.running.values()]
        rest = sum(expected(rule) * count for rule, count in self.waiting.items())
        rest += sum(max(expected(rule) - age, 0) for rule, age in ages)
        side_by_side = (spent + sum(age for _, age in ages)) / (now - self.began)
        return rest / side_by_side


class LogHandler(LogHandlerBase):
    """Writes a line for every job that starts, and passes on what went wrong as Snakemake words it."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.pace = Pace(Counter(), 0)
        self.total = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.tell(record)
        except Exception:
            self.handleError(record)

    def tell(self, record: logging.LogRecord) -> None:
        """Write what a record is about, if anything."""
        event, now = getattr(record, "event", None), time.monotonic()
        if self.common_settings.dryrun or record.levelno >= logging.WARNING or record.getMessage().startswith(NOTES):
            self.write(self.format(record))
        elif event == LogEvent.RUN_INFO:
            self.total = record.stats["total"]
            self.pace = Pace(Counter(record.stats) - Counter(total=self.total), now)
        elif event == LogEvent.JOB_INFO:
            self.pace.start(record.jobid, record.rule_name, now)
            if record.rule_msg:
                left = self.pace.left(now)
                rest = "" if left is None else f", {duration(left)} left"
                self.write(f"{record.rule_msg}: {self.pace.done} of {self.total} jobs done{rest}")
        elif event == LogEvent.JOB_FINISHED:
            self.pace.finish(record.job_id, now)
            if self.pace.done == self.total:
                self.write(f"All {self.total} jobs done, in {duration(now - self.pace.began)}")

    def write(self, line: str) -> None:
        stream = sys.stdout if self.common_settings.stdout else sys.stderr
        # Over what is left of the progress bar of a job.
        start = "\r\033[K" if stream.isatty() else ""
        print(f"{start}{line}", file=stream, flush=True)
