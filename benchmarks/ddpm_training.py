# ruff: noqa: E402 (torchvision must be made importable first)
"""DDPM training steps against the loop of diffusers' example train_unconditional.py, on the same network and batch.

The peer decodes and transforms its images in every step without workers, trains under accelerate in the same precision
with an unfused AdamW and reads the loss after every step.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.common.torchvision import import_torchvision

import_torchvision()
import diffusers
import torch
from accelerate import Accelerator
from diffusers.optimization import get_scheduler
from radsynth.data.phantom import render
from radsynth.generators.backend import choose_plan
from radsynth.generators.ddpm import build_scheduler, build_unet
from radsynth.generators.denoising import DenoisingTask
from radsynth.generators.loop import batch_indices
from radsynth.generators.options import resolve_options
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


class Peer:
    """The example's step."""

    def __init__(self, options: dict, folder: Path, size: int, steps: int, precision: str):
        self.accelerator = Accelerator(mixed_precision=precision)
        model, scheduler = build_unet(options, size, size), build_scheduler(options)
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


class Ours:
    """Our step, as the training loop calls it."""

    def __init__(self, options: dict, images: np.ndarray, steps: int):
        plan = choose_plan(options["precision"], options["compile"])
        size, self.options, self.n, self.done = images.shape[1], options, len(images), 0
        self.task = DenoisingTask(
            build_unet(options, size, size), build_scheduler(options), images, options, steps, plan
        )

    def step(self) -> None:
        self.task.step(self.done, batch_indices(self.done, self.n, self.options["batch_size"], seed=0))
        self.done += 1


def seconds_per_step(side: Ours | Peer, steps: int) -> float:
    """Return the mean time of a step, the device's work included."""
    began = time.perf_counter()
    for _ in range(steps):
        side.step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / steps


def main() -> None:
    """Print both times and their ratio, and on the last line the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--size", type=int, default=128, help="image size in pixels")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--warmup", type=int, default=10, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=50, help="steps per repeat")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    options = resolve_options("ddpm", arguments.preset, {})
    images = np.stack([render(seed, seed, arguments.size, False)[0] for seed in range(arguments.images)])
    total = arguments.warmup + arguments.steps * arguments.repeats
    with tempfile.TemporaryDirectory() as folder:
        for index, image in enumerate(images):
            Image.fromarray(image).save(Path(folder) / f"{index:04d}.png")
        ours = Ours(options, images, total)
        peer = Peer(options, Path(folder), arguments.size, total, PRECISIONS[ours.task.plan.dtype])
        times: dict[str, list[float]] = {"ours": [], "peer": []}
        for side in (ours, peer):
            seconds_per_step(side, arguments.warmup)
        for _ in range(arguments.repeats):
            times["ours"].append(seconds_per_step(ours, arguments.steps))
            times["peer"].append(seconds_per_step(peer, arguments.steps))
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["peer"] / medians["ours"]
    print("| side | s / step | images / s |")
    for name, seconds in medians.items():
        print(f"| {name} | {seconds:.4f} | {options['batch_size'] / seconds:.1f} |")
    print(f"ratio {ratio:.2f}")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    print(json.dumps({"device": device, "torch": torch.__version__, **vars(arguments), **times, "ratio": ratio}))


if __name__ == "__main__":
    main()
