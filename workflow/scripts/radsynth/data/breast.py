"""A procedural mammogram: a compressed breast seen from above (CC) or obliquely (MLO), with and without lesions.

All is drawn as a left breast: the chest wall is the left edge of the image, the nipple points to the right; x to the
right and y downwards, both in units of the image's height. Brightness grows with the density, as on the screen of a
reader; 0 is air. Two views of a breast share its anatomy and the places of its lesions, not texture and exposure.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import fft
from scipy.ndimage import distance_transform_edt, gaussian_filter

#: Share of the breast's area that is fibroglandular tissue, by density category (ACR BI-RADS, 4th edition's quarters).
GLANDULAR = {"A": (0.03, 0.15), "B": (0.16, 0.36), "C": (0.4, 0.66), "D": (0.7, 0.9)}
ASPECT = 0.8  # width over height


@dataclass(frozen=True)
class Breast:
    """What both views of one breast share."""

    depth: float  # from the chest wall to the nipple
    half: float  # half height of the contour in CC
    power: float  # shape of the contour: 2 is an ellipse
    glandular: float  # share of the area
    brightness: float  # of glandular tissue over fat
    strands: float  # strength of the fibrous strands
    pectoral: tuple[float, float]  # of MLO: width at the upper edge, length along the chest wall

    @classmethod
    def sample(cls, rng: np.random.Generator, density: str) -> "Breast":
        """Draw a breast of a density category A to D."""
        u = rng.uniform
        return cls(
            depth=u(0.34, 0.62),
            half=u(0.32, 0.46),
            power=u(1.8, 2.4),
            glandular=u(*GLANDULAR[density]),
            brightness=u(0.35, 0.65),
            strands=u(0.6, 1.2),
            pectoral=(u(0.14, 0.34), u(0.4, 0.72)),
        )


@dataclass(frozen=True)
class Lesion:
    """A structure inside a breast; ``kind`` is mass, asymmetry, calcifications or coarse (benign calcifications).

    ``depth`` and ``across`` place it between chest wall (0) and nipple (1), and between the upper (-1) and the lower
    (1) contour; ``radius`` in heights of the image, ``contrast`` as brightness, ``spiculation`` from 0 (round and
    sharp, as benign masses are) to 1.
    """

    kind: str
    depth: float
    across: float
    radius: float
    contrast: float
    spiculation: float


def field(
    rng: np.random.Generator, shape: tuple[int, int], power: float, stretch: float = 1.0, coarsest: float = 0.0
) -> np.ndarray:
    """Return a Gaussian random field float32 (height, width), mean 0 and SD 1, with amplitudes frequency**-power.

    ``stretch`` draws structures out along x; frequencies below ``coarsest`` (cycles per height) are left out. The power
    spectrum of mammograms falls with about the third power of frequency (Burgess et al. 2001,
    doi 10.1118/1.1355308), which is a ``power`` of 1.5.
    """
    height, width = (fft.next_fast_len(side, real=True) for side in shape)
    fy = fft.fftfreq(height, 1.0 / height)[:, None]
    fx = fft.rfftfreq(width, 1.0 / height)[None] * stretch
    radius = np.sqrt(fx * fx + fy * fy, dtype=np.float32)
    radius[radius <= coarsest] = np.inf
    spectrum = fft.rfft2(rng.standard_normal((height, width), dtype=np.float32)) * radius ** np.float32(-power)
    values = fft.irfft2(spectrum, s=(height, width))[: shape[0], : shape[1]]
    return (values - values.mean()) / values.std()


def contour(breast: Breast, view: str, rng: np.random.Generator, height: int) -> tuple[np.ndarray, float]:
    """Return, for every row of an image of ``height`` px, x of the skin (0: no breast), and y of the nipple."""
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    wave = gaussian_filter(rng.standard_normal(height), height / 20, mode="nearest") * np.sqrt(height / 20)
    if view == "CC":
        nipple = rng.uniform(0.47, 0.53)
        reach = 1.0 - np.abs((y - nipple) / breast.half) ** breast.power
        return np.sqrt(np.clip(reach, 0.0, None)) * breast.depth * (1.0 + 0.012 * wave), nipple
    nipple, lower = rng.uniform(0.56, 0.66), rng.uniform(0.8, 0.95) * breast.half
    axilla = min(breast.pectoral[0] + rng.uniform(0.04, 0.1), 0.8 * breast.depth)
    upper = axilla + (breast.depth - axilla) * (1.0 - np.clip((nipple - y) / nipple, 0.0, 1.0) ** breast.power)
    reach = np.sqrt(np.clip(1.0 - np.clip((y - nipple) / lower, 0.0, None) ** breast.power, 0.0, None))
    return np.where(y < nipple, upper, breast.depth * reach) * (1.0 + 0.012 * wave), nipple


def fan(values: np.ndarray, nipple: float, spread: float) -> np.ndarray:
    """Return a field (height, width) drawn out towards the chest wall, so that its rows converge at the nipple."""
    height, width = values.shape
    upper, lower = nipple * height * (1.0 - spread), height * (nipple + (1.0 - nipple) * spread)
    corners = (0, upper, 0, lower, width, height, width, 0)
    image = Image.fromarray(values)
    return np.asarray(image.transform((width, height), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR))


def step(value: np.ndarray, softness: float) -> np.ndarray:
    """Return a soft step: 0 where ``value`` is well below 0, 1 where it is well above."""
    return 0.5 + 0.5 * np.tanh(value * np.float32(1.0 / softness))


def tissue(breast: Breast, inside: np.ndarray, x: np.ndarray, y: np.ndarray, nipple: float, rng: np.random.Generator):
    """Return the brightness of fat and glandular tissue (height, width) for a mask of the breast."""
    shape = inside.shape
    place = ((x / breast.depth - 0.55) / 0.48) ** 2 + ((y - nipple + 0.03) / (0.75 * breast.half)) ** 2
    score = 0.5 * fan(field(rng, shape, 1.5, 1.6, 1.0), nipple, 0.5) - place
    edge = np.quantile(score[inside], 1.0 - breast.glandular)
    gland = step(score - edge, 0.3)
    # Cooper's ligaments and ducts: the zero level of a smooth random field is a network of curved lines.
    coarse = fan(field(rng, shape, 2.2, 1.8, 5.0), nipple, 0.45)
    fine = fan(field(rng, shape, 2.2, 1.6, 14.0), nipple, 0.5)
    strands = 0.7 * np.exp(-((coarse / 0.3) ** 2)) + 0.6 * np.exp(-((fine / 0.4) ** 2))
    lumps = field(rng, shape, 1.5, 1.0, 2.0)
    strands *= np.clip(0.7 + 0.35 * np.roll(lumps, shape[0] // 2, axis=0), 0.1, 1.4)  # some stronger, some faint
    texture = 0.38 + 0.24 * lumps + 0.34 * breast.strands * strands
    web = 0.06 * breast.strands * strands * step(score - edge + 1.0, 0.8)
    return 0.025 * lumps + breast.brightness * gland * np.clip(texture, 0.0, None) + web


def draw_lesion(film: np.ndarray, lesion: Lesion, centre: tuple[float, float], rng: np.random.Generator) -> list[float]:
    """Add a lesion at ``centre`` (x, y in heights) to an image in place; return xmin, ymin, xmax, ymax in pixels."""
    height, width = film.shape
    reach = 2.2 * lesion.radius
    left, right = (int(np.clip((centre[0] + d) * height, 0, width)) for d in (-reach, reach))
    upper, lower = (int(np.clip((centre[1] + d) * height, 0, height)) for d in (-reach, reach))
    x = (np.arange(left, right, dtype=np.float32) + 0.5) / height - np.float32(centre[0])
    y = ((np.arange(upper, lower, dtype=np.float32) + 0.5) / height - np.float32(centre[1]))[:, None]
    patch = film[upper:lower, left:right]
    if lesion.kind in ("calcifications", "coarse"):
        fine = lesion.kind == "calcifications"
        for _ in range(rng.integers(8, 25) if fine else rng.integers(1, 4)):
            angle, away = rng.uniform(0.0, 2 * np.pi), lesion.radius * np.sqrt(rng.random()) * 0.9
            size = rng.uniform(0.0012, 0.0025) if fine else rng.uniform(0.004, 0.009)
            spot = ((x - away * np.cos(angle)) ** 2 + (y - away * np.sin(angle)) ** 2) / size**2
            patch += np.float32(lesion.contrast * rng.uniform(0.6, 1.4)) * np.exp(-0.5 * spot)
    else:
        stretch, angle = rng.uniform(0.75, 1.0), rng.uniform(0.0, np.pi)
        u, v = x * np.cos(angle) + y * np.sin(angle), (y * np.cos(angle) - x * np.sin(angle)) / stretch
        away, theta = np.sqrt(u * u + v * v) / lesion.radius, np.arctan2(v, u)
        rim = np.ones_like(away)
        for wave in range(2, 9):
            lobes = np.cos(wave * theta + rng.uniform(0, 2 * np.pi)) / np.sqrt(wave)
            rim += (0.03 + 0.1 * lesion.spiculation) * rng.normal() * lobes
        soft = 0.5 if lesion.kind == "asymmetry" else 0.1 + 0.25 * lesion.spiculation
        body = step(rim - 0.15 - away, soft) * (0.75 + 0.25 * np.sqrt(np.clip(1.0 - away * away, 0.0, None)))
        for _ in range(round(24 * lesion.spiculation)):
            bent = theta - rng.uniform(-np.pi, np.pi) - rng.normal() * 0.25 * away
            off = (np.mod(bent + np.pi, 2 * np.pi) - np.pi) * away
            length = step(rng.uniform(1.1, 2.0) - away, 0.2) * step(away - 0.6, 0.1)
            body += rng.uniform(0.1, 0.45) * np.exp(-((off / 0.05) ** 2)) * length
        patch += np.float32(lesion.contrast) * body * (1.0 + 0.15 * field(rng, patch.shape, 1.0))
    margin = lesion.radius * rng.uniform(1.05, 1.3)
    return [(place + side) * height for side in (-margin, margin) for place in centre]


def render(
    breast: Breast, view: str, lesions: list[Lesion], rng: np.random.Generator, height: int
) -> tuple[np.ndarray, list[list[float]]]:
    """Return a mammogram float32 (height, 0.8 height) in [0, 1] and a box per lesion, in pixels."""
    width = round(ASPECT * height)
    skin, nipple = contour(breast, view, rng, height)
    axis = (np.arange(width, dtype=np.float32) + 0.5) / height
    x, y = np.meshgrid(axis, (np.arange(height, dtype=np.float32) + 0.5) / height)
    inside = x < skin[:, None]
    if rng.random() < 0.7:
        size = rng.uniform(0.012, 0.02)
        inside |= ((x - skin.max()) / (1.3 * size)) ** 2 + ((y - nipple) / size) ** 2 < 1.0
    away = Image.fromarray(distance_transform_edt(inside[::2, ::2]).astype(np.float32) * (2.0 / height))
    away = np.asarray(away.resize((width, height), Image.Resampling.BILINEAR))

    film = rng.uniform(0.16, 0.28) + tissue(breast, inside, x, y, nipple, rng)
    if view == "MLO":
        reach, length = breast.pectoral
        muscle = step(reach * (1.0 - y / length) + 0.03 * np.sin(np.pi * y / length) - x, 0.012) * (y < length * 1.1)
        film += muscle * (rng.uniform(0.2, 0.34) - 0.6 * (film - 0.2))
    places = []
    for lesion in lesions:
        column = np.clip(lesion.depth, 0.08, 0.9) * breast.depth
        rows = np.flatnonzero((skin > column + 0.02) & (y[:, 0] > (0.0 if view == "CC" else 0.3)))
        middle, half = (rows[0] + rows[-1]) / 2 / height, (rows[-1] - rows[0]) / 2 / height
        places.append((float(column), float(middle + lesion.across * 0.75 * half)))
    boxes = [draw_lesion(film, lesion, place, rng) for lesion, place in zip(lesions, places, strict=True)]

    # The compressed breast thins out towards the skin, which shows as a thin line itself.
    film = film * (1.0 - 0.75 * np.exp(-away / rng.uniform(0.008, 0.02)))
    film += rng.uniform(0.05, 0.16) * np.exp(-(((away - 0.004) / 0.003) ** 2))
    film = np.where(inside, np.clip(film, 0.0, 1.0), 0.0) ** np.float32(rng.uniform(0.95, 1.35))
    film += rng.uniform(0.006, 0.014) * rng.standard_normal(film.shape, dtype=np.float32) * np.sqrt(0.1 + film)
    return np.clip(film, 0.0, 1.0), boxes
