"""When the networks of a progressively grown GAN grow. Free of torch.

Level k is the resolution 4 * 2**k px.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from radsynth.common.errors import UserError


@dataclass(frozen=True)
class Growth:
    """The course of a training: ``start_images`` at the first level, then for each level fade-in and stabilization."""

    first: int
    last: int
    batch_size: int
    start_images: int
    fade_images: int
    stabilize_images: int

    @classmethod
    def plan(cls, options: Mapping[str, Any], height: int, width: int) -> "Growth":
        """Return the course for images of a size; UserError if the networks cannot grow to it."""
        size = options["start_size"]
        if height != width or height < size or height & (height - 1):
            raise UserError(
                f"options.start_size: PGGAN grows from {size} px by doubling, expected square images of {size}, "
                f"{2 * size}, {4 * size} ... px, found {height} x {width} px"
            )
        last = level_of(height)
        if len(options["widths"]) <= last:
            raise UserError(
                f"options.widths: {len(options['widths'])} entries reach {4 << (len(options['widths']) - 1)} px, "
                f"expected at least {last + 1} for {height} px"
            )
        images = {key: options[key] for key in ("batch_size", "start_images", "fade_images", "stabilize_images")}
        return cls(level_of(size), last, **images)

    def at(self, step: int) -> tuple[int, float]:
        """Return level and alpha of a step (from 0)."""
        grown = step * self.batch_size - self.start_images
        if grown < 0:
            return self.first, 1.0
        phase, within = divmod(grown, self.fade_images + self.stabilize_images)
        level = self.first + 1 + phase
        if level > self.last or within >= self.fade_images:
            return min(level, self.last), 1.0
        return level, within / self.fade_images

    def first_step(self, level: int) -> int:
        """Return the first step that trains a level; the level after the last one begins where all is trained."""
        if level == self.first:
            return 0
        phases = (level - self.first - 1) * (self.fade_images + self.stabilize_images)
        return -(-(self.start_images + phases) // self.batch_size)

    def count_steps(self, steps: int | None) -> int:
        """Return the number of steps, None being all phases once; UserError if the last level would not be reached."""
        needed = self.first_step(self.last) + 1
        if steps is not None and steps < needed:
            raise UserError(
                f"options.steps: {steps} end at {size_of(self.at(steps - 1)[0])} px, expected at least {needed} to "
                f"reach {size_of(self.last)} px"
            )
        return steps or self.first_step(self.last + 1)


def level_of(size: int) -> int:
    """Return the level of a resolution in px."""
    return int(math.log2(size)) - 2


def size_of(level: int) -> int:
    """Return the resolution of a level in px."""
    return 4 << level
