"""Progress of long work: a bar on a terminal, one line every few seconds in the log."""

import logging
import time

from tqdm import tqdm

log = logging.getLogger(__name__)


class Progress:
    """Counts steps up to ``total`` and logs rate and remaining time at most every ``every_s`` seconds."""

    def __init__(self, name: str, total: int, start: int = 0, unit: str = "step", every_s: float = 10.0):
        self.name, self.total, self.unit, self.every_s = name, total, unit, every_s
        self.done = self._start = start
        self._began = self._logged = time.monotonic()
        # disable=None: tqdm shows itself on a terminal only.
        self._bar = tqdm(total=total, initial=start, unit=unit, desc=name, disable=None, leave=False)

    def update(self, count: int = 1, note: str = "") -> None:
        """Report ``count`` further steps; ``note`` (such as the epoch or loss) is appended to the log line."""
        self.done += count
        self._bar.update(count)
        now = time.monotonic()
        if now - self._logged >= self.every_s or self.done >= self.total:
            self._logged = now
            rate = (self.done - self._start) / max(now - self._began, 1e-9)
            left = (self.total - self.done) / rate if rate else float("inf")
            minutes, seconds = divmod(int(left), 60)
            log.info(
                "%s: %s %d/%d, %.3g %ss/s, %d:%02d left%s",
                *(self.name, self.unit, self.done, self.total, rate, self.unit, minutes, seconds),
                f", {note}" if note else "",
            )
        if self.done >= self.total:
            self._bar.close()
