"""Latent diffusion (Rombach et al. 2022), told labels, attributes and lesions, built on diffusers.

Three stages: an autoencoder, the latents of all images, diffusion of latents. After an interruption both trainings go
on where they were; latents are made again, the same ones.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from radsynth.common.code import code_hash
from radsynth.common.errors import UserError
from radsynth.common.hashing import sha256_json, sha256_pixels
from radsynth.common.registry import LPIPS_WEIGHTS
from radsynth.common.seeds import derive_seed
from radsynth.common.sets import ImageSet
from radsynth.conditions.conditioner import groups_of
from radsynth.generators import autoencoder
from radsynth.generators.autoencoder import build_autoencoder, check_autoencoder, factor
from radsynth.generators.base import Options
from radsynth.generators.denoiser import Denoiser
from radsynth.generators.unet import check_unet, count_parameters, import_diffusers
from radsynth.generators.withholding import draw_groups

if TYPE_CHECKING:
    import torch

    from radsynth.generators.latents import Latents
    from radsynth.learning.devices import Plan

#: The autoencoder's options that the training loop knows by names without this beginning.
OWN, STAGE = "autoencoder_", ("batch_size", "steps", "learning_rate")
#: Images that are decoded at once: at full size each takes hundreds of times the memory of its latent.
DECODED = 16
#: Options of the diffusion alone.
DIFFUSION = {
    *("block_out_channels", "layers_per_block", "attention_levels", "norm_groups", "dropout", "timesteps"),
    *("beta_schedule", "beta_start", "beta_end", "prediction", "snr_gamma", "epochs", "copies", "bottleneck"),
    *("attributes", "continuous", "lesions", "drop_all", "drop_each"),
}


class LatentDiffusion(Denoiser):
    """A U-Net that removes noise from latents, which an autoencoder has made of images and makes images of.

    Saved in the layout of diffusers: ``vae``, ``unet`` and ``scheduler`` are loaded by AutoencoderKL, UNet2DModel and
    DDPMScheduler; the mean and standard deviation of each channel of the latents stand in the autoencoder's
    configuration.
    """

    @classmethod
    def check(cls, options: Options, sampler: Options, size: int) -> None:
        check_autoencoder(options, size)
        latent = size // factor(options, size)
        check_unet(options, latent, latent)
        super().check(options, sampler, size)

    @classmethod
    def count_parameters(cls, options: Options, size: int) -> int:
        unet = count_parameters(options, options["latent_channels"], 2 * (options["lesions"] != "none"))
        return unet + autoencoder.count_parameters(options, size)

    @classmethod
    def needs_weights(cls, options: Options) -> str | None:
        return LPIPS_WEIGHTS if options["likeness"] == "lpips" else None

    # Training

    @classmethod
    def check_count(cls, options: Options, n: int) -> None:
        for option, count in (("batch_size", n), (f"{OWN}batch_size", n - round(options["withhold"] * n))):
            if options[option] > count:
                raise UserError(f"options.{option}: {options[option]}, but there are {count} training images")

    def prepare(self, data: ImageSet, run_dir: Path, seed: int) -> None:
        """Train the autoencoder, without some images, and see by these whether it is good enough."""
        import torch

        from radsynth.generators.autoencoding import AutoencodingTask, Coding, create_likeness
        from radsynth.generators.reconstruction import expect_no_bottleneck, judge, write_reconstructions
        from radsynth.learning.loop import Training

        self.check_count(self.options, len(data))
        plan, run_dir = self.plan(training=True), run_dir / "autoencoder"
        height, channels = data.images.shape[1], data.images.shape[3]
        options = autoencoder_stage(self.options)
        withheld = draw_groups(groups_of(data), round(options["withhold"] * len(data)), derive_seed(seed, "withhold"))
        torch.manual_seed(derive_seed(seed, "autoencoder"))
        self.vae = build_autoencoder(options, channels, height)
        images = data.images[~withheld]
        likeness = create_likeness(options, height, self.weights, plan)
        task = AutoencodingTask(self.vae, images, options, options["steps"], plan, likeness)
        if self.start is not None:
            task.descent.begin_from(Coding(type(self).load(self.start).vae))

        def preview(path: Path) -> None:
            with task.descent.averaged_weights():
                write_reconstructions(self.vae, data, withheld, path, plan)

        named = (f"radsynth.{name}" for name in ("generators.autoencoder", "generators.withholding", "learning.loop"))
        code = code_hash(Path(__file__).with_name("autoencoding.py"), *named)
        Training(
            task,
            plan=plan,
            n=len(images),
            steps=options["steps"],
            options=options,
            run_dir=run_dir,
            seed=derive_seed(seed, "autoencoder"),
            fingerprint=sha256_json([options, data.sha256, seed, code, withheld.tolist(), self.facts.get("start")]),
            preview=preview,
        ).run()
        task.descent.keep_averaged_weights()
        self.grounds = [sha256_json([sha256_pixels(one.cpu().numpy()) for one in self.vae.state_dict().values()])]
        write_reconstructions(self.vae, data, withheld, run_dir / "progress" / "reconstructions.png", plan)
        found = judge(self.vae, data, withheld, factor(options, height), self.plan(training=False))
        self.facts["autoencoder"] = found
        expect_no_bottleneck(found, self.options["bottleneck"])

    def latent_shape(self, data: ImageSet) -> tuple[int, int, int]:
        height, width = data.images.shape[1:3]
        times = factor(self.options, height)
        return self.options["latent_channels"], height // times, width // times

    def supply(self, data: ImageSet, lesions: np.ndarray | None, plan: "Plan") -> "Latents":
        from radsynth.generators.latents import Latents

        seed = derive_seed(self.facts["seed"], "latents")
        latents = Latents(self.vae, data.images, lesions, self.options, self.plan(training=False), seed)
        shift, scale = (one.flatten().tolist() for one in (latents.shift, latents.scale))
        self.vae.register_to_config(latents_mean=shift, latents_std=scale)
        self.reach = self.facts["reach"] = latents.reach
        return latents

    def decode(self, latents: "torch.Tensor", plan: "Plan") -> np.ndarray:
        import torch

        from radsynth.learning.devices import to_bytes

        config = self.vae.config
        shift, scale = (
            torch.tensor(one, device=latents.device).view(1, -1, 1, 1)
            for one in (config.latents_mean, config.latents_std)
        )
        vae, parts = plan.place(self.vae).eval(), (latents * scale + shift).split(DECODED)
        with torch.no_grad(), plan.autocast():
            return np.concatenate([to_bytes(vae.decode(part).sample.float()) for part in parts])

    def pool_lesions(self, covered: np.ndarray) -> np.ndarray:
        n, height, width = covered.shape
        times = factor(self.options, height)
        return covered.reshape(n, height // times, times, width // times, times).mean(axis=(2, 4))

    # Files

    def write(self, model_dir: Path) -> None:
        super().write(model_dir)
        self.vae.save_pretrained(model_dir / "vae")

    def read(self, model_dir: Path) -> None:
        super().read(model_dir)
        self.vae = import_diffusers().AutoencoderKL.from_pretrained(
            model_dir / "vae", low_cpu_mem_usage=False, use_safetensors=True
        )
        self.reach = self.facts["reach"]

    def measures(self) -> dict[str, Any]:
        found = super().measures()
        own = sum(parameter.numel() for parameter in self.vae.parameters())
        return found | {"parameters": found["parameters"] + own, "autoencoder_parameters": own}


def autoencoder_stage(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the autoencoder's training, as the shared loop calls them.

    None that it does not depend on: another U-Net needs no other autoencoder.
    """
    own = {name: value for name, value in options.items() if name not in DIFFUSION}
    return own | {name: options[OWN + name] for name in STAGE}
