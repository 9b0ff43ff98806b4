"""Procedural chest radiographs: made here, free to share, with lung and lesion masks."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from radsynth.common.errors import UserError
from radsynth.common.seeds import derive_seed
from radsynth.data import anatomy
from radsynth.data.source import RawImage, RawRecord, Source

LUNG, LESION = 1, 2
#: Smaller images are drawn at least this large and averaged down, so that ribs do not alias.
DRAWN_SIZE = 128


def lesions(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Return the share (0 to about 1) of the air that one to three soft, irregular opacities fill in a lung.

    ``field`` is the soft mask of that lung.
    """
    # Mostly in the lower half of the lung, as aspirated and lobar pneumonia is.
    weight = np.where(field > 0.9, np.exp(-(((y - 0.15) / 0.35) ** 2)), 0.0).ravel()
    cumulative = np.cumsum(weight)
    total = np.zeros_like(x)
    size = x.shape[0]
    for _ in range(rng.integers(1, 4)):
        centre = np.searchsorted(cumulative, rng.random() * cumulative[-1])
        radius = rng.uniform(0.15, 0.32)
        stretch, angle = rng.uniform(0.7, 1.4), rng.uniform(0.0, np.pi)
        dx, dy = x - x.flat[centre], y - y.flat[centre]
        u = (dx * np.cos(angle) + dy * np.sin(angle)) / (radius * stretch)
        v = (dy * np.cos(angle) - dx * np.sin(angle)) / (radius / stretch)
        edge = 0.3 * anatomy.smooth_field(rng, 9, size)
        texture = 1.0 + 0.12 * anatomy.smooth_field(rng, 28, size)
        total = np.maximum(total, rng.uniform(0.6, 1.0) * np.exp(-np.clip(u * u + v * v + edge, 0.0, None)) * texture)
    return total * field


def render(patient_seed: int, image_seed: int, size: int, lesion: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a radiograph uint8 (size, size) and its label map (0 background, 1 lung, 2 lesion).

    Everything that belongs to the patient follows from ``patient_seed``, pose, breath, exposure, noise and
    lesions from ``image_seed``.
    """
    a = anatomy.Anatomy.sample(np.random.default_rng(patient_seed))
    rng = np.random.default_rng(image_seed)
    u = rng.uniform
    factor = -(-DRAWN_SIZE // size)
    drawn = size * factor
    zoom = u(0.9, 1.12)
    x, y = anatomy.plane(drawn, u(-0.07, 0.07), (zoom * u(0.95, 1.05), zoom), (u(-0.08, 0.08), u(-0.06, 0.12)))
    x = x - np.float32(a.spine[2]) * np.sin(2.0 * y)
    right, left = anatomy.lungs(a, x, y, u(-0.07, 0.05))
    lung = right + left

    # The lungs replace tissue by air, the heart pushes them aside, everything else adds to what the ray crosses.
    density = anatomy.soft_tissue(a, x, y)
    middle = np.clip(1.0 - ((np.abs(x) - 0.5 * a.width) / (0.62 * a.width)) ** 2, 0.0, 1.0)
    cardiac = anatomy.heart(a, x, y)
    air = lung * (0.42 + 0.33 * middle) * (1.0 - 0.8 * cardiac)
    density -= air
    density += 0.1 * cardiac + anatomy.vessels(a, x, y) * lung + anatomy.skeleton(a, x, y)
    density += anatomy.ribs(a, x, y) * (0.25 + 0.75 * lung * (1.0 - 0.5 * cardiac))
    density -= 0.2 * anatomy.trachea(a, x, y) + 0.22 * anatomy.stomach_gas(a, x, y)
    density += 0.03 * anatomy.smooth_field(rng, 6, drawn) + 0.02 * lung * anatomy.smooth_field(rng, 44, drawn)

    opacity = np.zeros_like(density)
    if lesion:
        opacity = lesions(rng, x, y, left if rng.random() < 0.5 else right)
        density += u(0.65, 1.1) * opacity * air  # fluid takes the place of air

    # Exposure: a window of the density scale, a film curve, scatter, quantum and detector noise.
    low, high = u(-0.05, 0.2), u(1.15, 1.6)
    film = np.clip((density - low) / (high - low), 0.0, 1.0) ** u(0.75, 1.4)
    noise = u(0.01, 0.04) * rng.standard_normal(film.shape, dtype=np.float32) * np.sqrt(1.2 - film)
    pixels = Image.fromarray(np.uint8(np.clip(255.0 * (film * u(0.82, 1.0) + u(0.0, 0.08) + noise), 0, 255)))
    labels = np.where(lung > 0.5, LUNG, 0).astype(np.uint8)
    labels[(opacity > 0.35) & (lung > 0.5)] = LESION
    half_step = factor // 2
    return np.asarray(pixels.reduce(factor)), labels[half_step::factor, half_step::factor]


def load(patient_seed: int, image_seed: int, size: int, lesion: bool) -> RawImage:
    """Return what ``render`` draws, as images."""
    image, mask = render(patient_seed, image_seed, size, lesion)
    return RawImage(Image.fromarray(image), Image.fromarray(mask))


class Phantom(Source):
    """As many radiographs of each label as ``images`` says; every patient belongs to one label."""

    @classmethod
    def configured_counts(cls, dataset: Mapping[str, Any]) -> dict[str, int]:
        return dataset["images"]

    def records(self, image_size: int, seed: int) -> list[RawRecord]:
        counts, per_patient = self.options["images"], self.options["images_per_patient"]
        missing = [label for label in self.labels if label not in counts]
        if missing or len(counts) != len(self.labels):
            raise UserError(f"datasets: phantom images names {sorted(counts)}, expected every one of {self.labels}")
        unknown = sorted(set(self.options["lesion_labels"]) - set(self.labels))
        if unknown:
            raise UserError(f"datasets: phantom lesion_labels names {unknown[0]!r}, which is not among {self.labels}")
        records = []
        for label in self.labels:
            for index in range(counts[label]):
                patient = f"{label}{index // per_patient:05d}"
                image_seed = derive_seed(seed, "phantom", label, index)
                records.append(
                    RawRecord(
                        source=f"{label}/{index:05d}.png",
                        label=label,
                        load=partial(
                            load,
                            derive_seed(seed, "phantom patient", patient),
                            image_seed,
                            image_size,
                            label in self.options["lesion_labels"],
                        ),
                        patient_id=patient,
                    )
                )
        return records

    def expected_counts(self) -> dict[str, int]:
        return dict(self.options["images"])
