"""A procedural chest radiograph: projected thicknesses of soft tissue, air and bone on a plane.

Coordinates: x to the right and y downwards, the image spans [-1, 1] in both; the patient's left is on the image's
right, as in a posteroanterior film. Thicknesses and densities are in arbitrary units; brightness grows with the
projected density, as on a printed radiograph.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Anatomy:
    """What stays the same in all images of one patient."""

    width: float  # half width of the thoracic cage
    apex: float  # y of the lung apices
    base: float  # y of the right dome of the diaphragm
    taper: float  # how much narrower the cage is at the apex
    dome_step: float  # how much lower the left dome is
    dome_bend: float  # curvature of the domes
    heart: tuple[float, float, float, float]  # centre x, y; half width, half height
    knob: float  # half width of the aortic arch
    mediastinum: float  # half width
    rib_spacing: float
    rib_width: float  # share of the spacing
    rib_slope: float
    rib_density: float
    rib_phase: float
    spine: tuple[float, float, float]  # half width, density, lateral bend
    clavicle: tuple[float, float]  # y of the inner end, rise
    bone_density: float  # of clavicles and shoulder blades
    scapula: float  # how far the shoulder blades are turned out of the lung fields
    fat: float  # soft tissue around the cage
    shoulder: float  # how far the shoulders reach out
    breast: float  # density of the breast shadows, 0 for none
    vessel_density: float
    vessels: tuple[tuple[float, float, float, float], ...]  # side, angle, bend, length
    bubble: float  # radius of the stomach's air bubble, 0 for none

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Anatomy":
        """Draw a patient."""
        u = rng.uniform
        width, base = u(0.58, 0.74), u(0.34, 0.56)
        return cls(
            width=width,
            apex=u(-0.84, -0.72),
            base=base,
            taper=u(0.18, 0.36),
            dome_step=u(0.0, 0.09),
            dome_bend=u(0.16, 0.32),
            heart=(u(0.08, 0.14), base - u(0.02, 0.1), width * u(0.4, 0.58), u(0.38, 0.5)),
            knob=u(0.08, 0.13),
            mediastinum=u(0.1, 0.15),
            rib_spacing=u(0.125, 0.165),
            rib_width=u(0.34, 0.5),
            rib_slope=u(0.08, 0.3),
            rib_density=u(0.05, 0.2),
            rib_phase=u(0.0, 1.0),
            spine=(u(0.06, 0.085), u(0.05, 0.2), u(-0.04, 0.04)),
            clavicle=(u(-0.66, -0.56), u(0.04, 0.18)),
            bone_density=u(0.07, 0.2),
            scapula=u(0.0, 0.25),
            fat=u(0.08, 0.24),
            shoulder=u(0.3, 0.6),
            breast=u(0.06, 0.2) if rng.random() < 0.5 else 0.0,
            vessel_density=u(0.06, 0.18),
            vessels=tuple((side, u(-1.3, 1.45), u(-0.5, 0.5), u(0.2, 0.45)) for side in [-1.0] * 10 + [1.0] * 10),
            bubble=u(0.05, 0.13) if rng.random() < 0.5 else 0.0,
        )


def smooth(value: np.ndarray, softness: float) -> np.ndarray:
    """Return a soft step: 0 where ``value`` is well below 0, 1 where it is well above."""
    return 0.5 + 0.5 * np.tanh(value * np.float32(1.0 / softness))


def dome(value: np.ndarray) -> np.ndarray:
    """Return the thickness of an ellipsoid: sqrt(1 - value), 0 outside."""
    return np.sqrt(np.clip(1.0 - value, 0.0, None))


def smooth_field(rng: np.random.Generator, cells: int, size: int) -> np.ndarray:
    """Return smooth random values (size, size), about standard normal, with ``cells`` x ``cells`` grid points."""
    grid = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))


def plane(size: int, angle: float, scale: tuple[float, float], shift: tuple[float, float]):
    """Return the coordinates x, y (size, size) of the pixels' centres in the patient's frame; ``angle`` in radians."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(2.0 / size) - 1.0
    x, y = np.meshgrid(axis - np.float32(shift[0]), axis - np.float32(shift[1]))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return (x * cos + y * sin) / np.float32(scale[0]), (y * cos - x * sin) / np.float32(scale[1])


def cage_half_width(a: Anatomy, y: np.ndarray) -> np.ndarray:
    """Return the half width of the thoracic cage at the height y, 0 above the apices."""
    height = np.clip((a.base + 0.3 - y) / (a.base + 0.3 - a.apex), 0.0, 1.0)
    return a.width * (1.0 - a.taper * height**3) * np.sqrt(1.0 - height**7)


def lungs(a: Anatomy, x: np.ndarray, y: np.ndarray, breath: float) -> tuple[np.ndarray, np.ndarray]:
    """Return soft masks of the right and the left lung (image left and right); ``breath`` lowers the diaphragm."""
    half = cage_half_width(a, y)
    across = np.abs(x)
    inside = smooth(half - across, 0.025) * smooth(y - a.apex - 1.6 * (across - 0.27) ** 2, 0.04)
    fields = []
    for side, lower in ((-1.0, 0.0), (1.0, a.dome_step)):
        along = (x - side * a.width * 0.47) / (a.width * 0.6)
        diaphragm = a.base + breath + lower + a.dome_bend * along**2 + 0.04 * side * along
        medial = a.mediastinum * (0.7 + 0.5 * np.clip(y - a.apex, 0.0, 1.2))
        fields.append(inside * smooth(diaphragm - y, 0.02) * smooth(side * x - medial, 0.03))
    return fields[0], fields[1]


def heart(a: Anatomy, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the thickness (0..1) of heart and aortic arch, which push the lung aside."""
    hx, hy, half_width, half_height = a.heart
    ventricles = dome(np.abs((x - hx - 0.22 * (y - hy)) / half_width) ** 1.7 + np.abs((y - hy) / half_height) ** 1.8)
    arch = dome(((x - a.mediastinum * 0.6) / a.knob) ** 2 + ((y - a.apex - 0.4) / 0.17) ** 2)
    return np.maximum(ventricles, 0.7 * arch)


def ribs(a: Anatomy, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the projected density of the ribs: posterior arcs and fainter, steeper anterior ones."""
    across = np.abs(x)
    along = across / np.maximum(cage_half_width(a, y), 0.3)
    cage = smooth(1.02 - along, 0.03) * smooth(a.base + 0.3 - y, 0.08)
    cage *= smooth(y - a.apex - 1.6 * (across - 0.27) ** 2, 0.03)
    posterior = y + a.rib_slope * 0.6 * along - 0.4 * along**3
    anterior = y + 0.6 * (1.0 - along) + 0.15 * along**2
    total = np.zeros_like(x)
    for curve, strength, reach in (
        (posterior, 1.0, smooth(along - 0.12, 0.06)),
        (anterior, 0.5, smooth(along - 0.45, 0.12)),
    ):
        cycle = curve / a.rib_spacing + a.rib_phase
        distance = np.abs(cycle - np.rint(cycle)) / (0.5 * a.rib_width)
        # A tube of cortical bone: brighter towards its two edges.
        total += strength * reach * smooth(1.0 - distance, 0.3) * (0.6 + 0.5 * np.clip(distance, 0.0, 1.0) ** 2)
    return a.rib_density * total * cage


def vessels(a: Anatomy, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the projected density of the pulmonary vessels, dense at the hila and thinning outwards."""
    total = np.zeros_like(x)
    for side in (-1.0, 1.0):
        dx, dy = side * x - a.mediastinum * 0.9, y - (a.apex + a.base) * 0.5 - 0.02 * side
        radius = np.sqrt(dx * dx + dy * dy) + 1e-3
        angle = np.arctan2(dy, dx)
        branches = np.array([v[1:] for v in a.vessels if v[0] == side], dtype=np.float32)[:, :, None, None]
        offset = (angle - branches[:, 0] - branches[:, 1] * np.sin(5.0 * radius)) * radius
        thick = 0.008 + 0.016 * np.exp(-radius * 3.0)
        spokes = (np.exp(-((offset / thick) ** 2)) * np.exp(-((radius / branches[:, 2]) ** 2))).max(axis=0)
        total += spokes * (1.0 - np.exp(-((radius / 0.1) ** 2)))
        total += 0.8 * np.exp(-((dx / 0.1) ** 2) - (dy / 0.15) ** 2)
    return a.vessel_density * total


def skeleton(a: Anatomy, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the projected density of spine, clavicles and shoulder blades."""
    half_width, density, _ = a.spine
    column = smooth(half_width - np.abs(x), 0.02)
    total = density * column * (1.0 + 0.2 * np.cos(y * 45.0) * smooth(0.8 * half_width - np.abs(x), 0.02))
    across = np.abs(x)
    start, rise = a.clavicle
    centre = start - rise * smooth(across - 0.35, 0.2) + 0.02 * np.sin(across * 9.0)
    collar = smooth(1.0 - np.abs(y - centre) / 0.03, 0.4) * smooth(across - 0.09, 0.03) * smooth(0.85 - across, 0.1)
    total += a.bone_density * collar
    blade = (across - a.width * (0.98 + a.scapula)) / (0.16 - 0.1 * (y + 0.3))
    total += 0.5 * a.bone_density * smooth(1.0 - np.abs(blade), 0.15) * smooth(0.22 - np.abs(y + 0.32), 0.08)
    return total


def soft_tissue(a: Anatomy, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the projected thickness of the trunk with shoulders, neck and breasts, as if there were no lungs."""
    half = cage_half_width(a, np.maximum(y, a.apex + 0.35))
    shoulders = a.shoulder * smooth(-0.12 - y, 0.22)
    slope = 0.55 * np.clip(np.abs(x) - 0.16, 0.0, None)
    outline = half + a.fat + shoulders
    body = smooth(outline - np.abs(x), 0.02) * (0.35 + 0.75 * dome((x / outline) ** 2))
    body *= smooth(y - a.apex + 0.22 - slope + 1.2 * smooth(0.22 - np.abs(x), 0.12), 0.06)
    body += 0.12 * smooth(y - a.base - 0.1, 0.1)
    for side in (-1.0, 1.0):
        shadow = ((x - side * a.width * 0.72) / 0.34) ** 2 + ((y - a.base + 0.08) / 0.3) ** 2
        body += a.breast * dome(shadow) * smooth(y - a.base + 0.25, 0.15)
    return body


def stomach_gas(a: Anatomy, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the thickness of the stomach's air bubble below the left dome of the diaphragm."""
    if not a.bubble:
        return np.zeros_like(x)
    return dome(((x - 0.33) / a.bubble) ** 2 + ((y - a.base - 0.27) / (0.7 * a.bubble)) ** 2)


def trachea(a: Anatomy, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the thickness (0..1) of the air in the windpipe."""
    return smooth(0.045 - np.abs(x - 0.01), 0.015) * smooth(a.apex + 0.55 - y, 0.06)
