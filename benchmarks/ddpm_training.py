# ruff: noqa: E402 (torchvision must be made importable first)
"""DDPM training steps against public loops, on the same network, batch and precision.

The loop of diffusers' example train_unconditional.py decodes and transforms its images in every step without workers,
trains under accelerate with an unfused AdamW and reads the loss after every step. The Trainer of lucidrains'
denoising-diffusion-pytorch, where that is installed, is called as it is, with the workers and the optimizer that it
chooses, on diffusers' U-Net.
"""

import argparse
import importlib
import json
import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.common.torchvision import import_torchvision

import_torchvision()
import diffusers
import torch
from accelerate import Accelerator
from alternating import in_turn, seconds_each
from diffusers.optimization import get_scheduler
from radsynth.data.phantom import render
from radsynth.generators.denoising import DenoisingTask, Pixels
from radsynth.generators.options import resolve_options
from radsynth.generators.unet import build_scheduler, build_unet
from radsynth.learning.devices import choose_plan
from radsynth.learning.loop import batch_indices
from torchvision import transforms

PRECISIONS = {torch.float32: "no", torch.float16: "fp16", torch.bfloat16: "bf16"}


class ImageFiles(torch.utils.data.Dataset):
    """PNG files, decoded and transformed when asked for."""

    def __init__(self, folder: Path, channels: int):
        self.files = sorted(folder.glob("*.png"))
        self.mode = "RGB" if channels == 3 else "L"
        mean = [0.5] * channels
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, mean)])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.files[index]).convert(self.mode))


class Diffusers:
    """The step of diffusers' example."""

    def __init__(self, options: dict, folder: Path, size: int, steps: int, precision: str):
        self.accelerator = Accelerator(mixed_precision=precision)
        model, scheduler = build_unet(options, size, size, options["channels"]), build_scheduler(options)
        optimizer = torch.optim.AdamW(model.parameters(), lr=options["learning_rate"], weight_decay=1e-6)
        loader = torch.utils.data.DataLoader(
            ImageFiles(folder, options["channels"]), batch_size=options["batch_size"], shuffle=True, drop_last=True
        )
        rate = get_scheduler("cosine", optimizer, num_warmup_steps=options["warmup_steps"], num_training_steps=steps)
        self.model, self.optimizer, self.loader, self.rate = self.accelerator.prepare(model, optimizer, loader, rate)
        self.scheduler, self.average, self.batches = scheduler, None, iter(())
        if options["ema_decay"]:
            self.average = diffusers.EMAModel(
                model.parameters(), decay=options["ema_decay"], use_ema_warmup=True, foreach=False
            )

    def step(self) -> float:
        try:
            clean = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            clean = next(self.batches)
        noise = torch.randn(clean.shape, device=clean.device, dtype=clean.dtype)
        timesteps = torch.randint(0, self.scheduler.config.num_train_timesteps, (len(clean),), device=clean.device)
        output = self.model(self.scheduler.add_noise(clean, noise, timesteps), timesteps).sample
        wanted = noise
        if self.scheduler.config.prediction_type == "v_prediction":
            wanted = self.scheduler.get_velocity(clean, noise, timesteps)
        loss = torch.nn.functional.mse_loss(output.float(), wanted.float())
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.rate.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.step(self.model.parameters())
        return loss.detach().item()


class Denoiser(torch.nn.Module):
    """A U-Net of diffusers, called the way lucidrains' GaussianDiffusion calls its own."""

    self_condition = random_or_learned_sinusoidal_cond = False

    def __init__(self, unet: diffusers.ModelMixin):
        super().__init__()
        self.unet, self.channels, self.out_dim = unet, unet.config.in_channels, unet.config.out_channels

    def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor, _: None) -> torch.Tensor:
        return self.unet(noisy, timesteps).sample


class Lucidrains:
    """Lucidrains' Trainer, which never saves or samples here. ModuleNotFoundError where it is not installed."""

    def __init__(self, options: dict, folder: Path, size: int, precision: str):
        package = importlib.import_module("denoising_diffusion_pytorch")
        diffusion = package.GaussianDiffusion(
            Denoiser(build_unet(options, size, size, options["channels"])),
            image_size=size,
            timesteps=options["timesteps"],
            objective="pred_noise" if options["prediction"] == "epsilon" else "pred_v",
            beta_schedule="linear",
        )
        self.trainer = package.Trainer(
            diffusion,
            str(folder),
            train_batch_size=options["batch_size"],
            train_lr=options["learning_rate"],
            augment_horizontal_flip=False,
            save_and_sample_every=sys.maxsize,
            calculate_fid=False,
            amp=precision != "no",
            mixed_precision_type=precision,
            results_folder=str(folder / "lucidrains"),
        )

    def take(self, steps: int) -> None:
        """Take ``steps`` further steps."""
        self.trainer.train_num_steps = self.trainer.step + steps
        self.trainer.train()


class Ours:
    """Our step, as the training loop calls it."""

    def __init__(self, options: dict, images: np.ndarray, steps: int):
        plan = choose_plan(options["precision"], options["compile"])
        size, self.options, self.n, self.done = images.shape[1], options, len(images), 0
        unet, supply = build_unet(options, size, size, options["channels"]), Pixels(images, None, options, plan)
        self.task = DenoisingTask(unet, build_scheduler(options), supply, options, steps, plan)

    def step(self) -> None:
        self.task.step(self.done, batch_indices(self.done, self.n, self.options["batch_size"], seed=0))
        self.done += 1


def measure(
    options: dict, *, size: int, images: int, warmup: int, steps: int, repeats: int, deadline: float = math.inf
) -> dict[str, Any]:
    """Return what ``in_turn`` does of the seconds per step of ``ours``, ``diffusers`` and ``lucidrains``.

    ``options`` are a DDPM's; ``images`` phantoms of ``size`` px are learnt from, ``warmup`` steps come before the clock
    starts, ``steps`` are those of a repeat. ``reasons`` says why a peer is missing, ``compiled`` whether our network
    was compiled: where that fails, as without a C compiler, training goes on without.
    """
    pixels = np.stack([render(seed, seed, size, False)[0] for seed in range(images)])
    total, reasons = warmup + steps * repeats, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index, image in enumerate(pixels):
            Image.fromarray(image).save(folder / f"{index:04d}.png")
        ours = Ours(options, pixels, total)
        precision = PRECISIONS[ours.task.plan.dtype]
        peer = Diffusers(options, folder, size, total, precision)

        def taking(step: Callable[[], Any]) -> Callable[[int], float]:
            return lambda count: seconds_each(step, count)

        sides = {"ours": taking(ours.step), "diffusers": taking(peer.step)}
        try:
            lucidrains = Lucidrains(options, folder, size, precision)
        except ModuleNotFoundError as error:
            reasons["lucidrains"] = f"not installed: {error}"
        else:
            sides["lucidrains"] = lambda count: seconds_each(lambda: lucidrains.take(count), 1) / count
        for side in sides.values():
            side(warmup)
        found = in_turn({name: lambda side=side: side(steps) for name, side in sides.items()}, repeats, deadline)
    facts = {"size": size, "images": images, "batch": options["batch_size"], "precision": precision}
    # Asked for only where torch.compile has loaded it.
    compiled = ours.task.plan.compile and torch._dynamo.utils.counters["frames"]["ok"] > 0
    return {**facts, "compiled": compiled, "warmup": warmup, "steps": steps, **found, "reasons": reasons}


def main() -> None:
    """Print all times and their ratios, and on the last line the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--size", type=int, default=128, help="image size in pixels")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--warmup", type=int, default=10, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=50, help="steps per repeat")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = vars(parser.parse_args())
    preset = arguments.pop("preset")
    found = measure(resolve_options("ddpm", preset, {}), **arguments)
    print("| side | s / step | images / s | ratio |")
    for name, seconds in found["medians"].items():
        print(f"| {name} | {seconds:.4f} | {found['batch'] / seconds:.1f} | {found['ratios'].get(name, 1):.2f} |")
    for name, reason in found["reasons"].items():
        print(f"{name}: {reason}")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    print(json.dumps({"device": device, "torch": torch.__version__, "preset": preset, **found}))


if __name__ == "__main__":
    main()
