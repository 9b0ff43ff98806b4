"""Whether an autoencoder is the bottleneck of latent diffusion: what comes back of images that it has not learnt from.

No image that is decoded can be better than that. Beside results: what is found may end a training, but changes none,
and another way to look trains nothing anew.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from radsynth.common.errors import UserError
from radsynth.common.images import gray_of
from radsynth.common.sets import ImageSet
from radsynth.common.sheets import montage, write_sheets
from radsynth.features.pixels import Pixels
from radsynth.learning.devices import Plan, to_bytes, to_floats
from radsynth.quality import kernel

if TYPE_CHECKING:
    import diffusers

log = logging.getLogger(__name__)

#: Fewer images that were withheld say too little.
FEWEST = 8
#: How much worse on withheld images an autoencoder may be before it is said to know its own by heart.
MOST_WORSE = 1.5


@torch.no_grad()
def reconstruct(vae: "diffusers.AutoencoderKL", images: np.ndarray, plan: Plan, batch: int = 32) -> np.ndarray:
    """Return images, uint8 (n, height, width, channels), as the autoencoder gives them back, by their mean latents."""
    vae = plan.place(vae).eval()
    found = []
    for start in range(0, len(images), batch):
        with plan.autocast():
            coded = vae.encode(to_floats(torch.from_numpy(images[start : start + batch]).to(plan.device))).latent_dist
            found.append(to_bytes(vae.decode(coded.mean).sample.float()))
    return np.concatenate(found)


def judge(
    vae: "diffusers.AutoencoderKL", data: ImageSet, withheld: np.ndarray, times: int, plan: Plan
) -> dict[str, Any]:
    """Return how an autoencoder treats the images ``withheld`` (bool, n) from it, beside its own and beside shrinking.

    ``l1``: mean absolute differences in grey levels: ``withheld``, ``trained`` (as many), ``shrunk`` of withheld images
    made ``times`` smaller and larger again, and ``as_many_numbers``, of those shrunk to as many numbers as latents
    have (0 if these are not fewer). ``kid``: distance of withheld images from those it has learnt from, in features of
    pixels: ``decoded``, the lowest that a pool can be expected to reach, and ``original``. Nothing is measured on fewer
    than ``FEWEST`` images.
    """
    n = int(withheld.sum())
    if n < FEWEST:
        return {"withheld": n}
    own = data.images[withheld]
    beside = data.images[~withheld][np.linspace(0, (~withheld).sum() - 1, n).astype(int)]
    decoded, of_trained = reconstruct(vae, own, plan), reconstruct(vae, beside, plan)
    numbers = vae.config.latent_channels / (times**2 * data.images.shape[3])
    l1 = {
        "withheld": difference(own, decoded),
        "trained": difference(beside, of_trained),
        "shrunk": difference(own, shrunk(own, 1 / times)),
        "as_many_numbers": difference(own, shrunk(own, min(numbers**0.5, 1))),
    }
    extractor = Pixels()
    extractor.fit(data.gray())
    trained = kernel.statistics(extractor.extract(gray_of(data.images[~withheld])))
    kid = {
        name: round(float(kernel.value(kernel.statistics(extractor.extract(gray_of(images))), trained)), 6)
        for name, images in (("decoded", decoded), ("original", own))
    }
    return {"withheld": n, "l1": l1, "kid": kid}


def expect_no_bottleneck(found: dict[str, Any], bottleneck: str) -> None:
    """Say in the log what ``judge`` found; UserError if it is a bottleneck and that is to ``stop``."""
    if "l1" not in found:
        log.warning("the autoencoder is not checked: %d images were withheld from it", found["withheld"])
        return
    l1, kid = found["l1"], found["kid"]
    log.info(
        "autoencoder: mean difference of withheld images %.1f grey levels (%.1f of its own); KID %.4f (%.4f before)",
        *(l1["withheld"], l1["trained"], kid["decoded"], kid["original"]),
    )
    if l1["withheld"] > l1["shrunk"]:
        text = (
            f"the autoencoder is the bottleneck: of images that it has not learnt from it gives back what differs by "
            f"{l1['withheld']:.1f} grey levels, shrinking them as far by {l1['shrunk']:.1f}"
        )
        if bottleneck == "stop":
            raise UserError(f"{text}; raise options.autoencoder_steps, or set options.bottleneck: warn")
        log.warning(text)
    elif l1["withheld"] > l1["as_many_numbers"] > 0:
        log.warning("shrinking images to as many numbers would keep more (%.1f)", l1["as_many_numbers"])
    if l1["withheld"] > MOST_WORSE * l1["trained"]:
        log.warning("the autoencoder knows its own images by heart: fewer steps or more images would do better")


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean absolute difference of uint8 images in grey levels."""
    return round(float(np.abs(a.astype(np.int16) - b).mean()), 3)


def shrunk(images: np.ndarray, share: float) -> np.ndarray:
    """Return uint8 images (n, height, width, channels) with sides shrunk to a share (area), then enlarged (bicubic)."""
    floats = to_floats(torch.from_numpy(images))
    size = [max(round(side * share), 1) for side in images.shape[1:3]]
    small = torch.nn.functional.interpolate(floats, size, mode="area")
    return to_bytes(torch.nn.functional.interpolate(small, images.shape[1:3], mode="bicubic", align_corners=False))


def write_reconstructions(
    vae: "diffusers.AutoencoderKL", data: ImageSet, withheld: np.ndarray, path: Path, plan: Plan, count: int = 10
) -> None:
    """Write some images above what the autoencoder gives back of them: its own and those withheld from it."""
    sheets = []
    for title, chosen in (("learnt from", ~withheld), ("withheld", withheld)):
        images = data.images[chosen][:count]
        if len(images):
            both = gray_of(np.concatenate([images, reconstruct(vae, images, plan)]))
            sheets.append((f"{title}: images and reconstructions", montage(both, len(images))))
    write_sheets(path, sheets)
