"""What families of denoising diffusion share: how they are trained and drawn from, what they are told and saved as."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from radsynth.common.errors import UserError
from radsynth.common.files import read_json, write_json
from radsynth.common.sets import Batch, Conditions, ImageSet
from radsynth.conditions.conditioner import Conditioner, knows_lesions
from radsynth.conditions.fresh import fresh, replayed
from radsynth.conditions.lesions import lesion_mask
from radsynth.generators.base import Options, image_rng
from radsynth.generators.noise import check_noise, check_sampling_steps
from radsynth.generators.stepwise import Stepwise
from radsynth.generators.unet import build_scheduler, build_unet, count_gflop, import_diffusers
from radsynth.learning.candidates import count_steps

if TYPE_CHECKING:
    import torch

    from radsynth.generators.denoising import DenoisingTask, Supply, Told
    from radsynth.learning.devices import Plan

log = logging.getLogger(__name__)

# Good enough to look at; pools use the sampler of the configuration.
QUICK_SAMPLER = {"name": "dpm_solver++", "steps": 20, "batch_size": 64, "guidance": 1}


class Denoiser(Stepwise):
    """A U-Net that removes Gaussian noise step by step, of images or of what stands for them.

    Subclasses implement ``latent_shape``, ``supply`` and ``decode``. If it is told what images show, conditions.json
    and embedding.safetensors lie beside the U-Net's weights.
    """

    accepts = frozenset({"label", "attributes", "boxes", "outlines"})
    emits = frozenset({"image", "mask"})  # masks only if it is told of lesions
    pretrainable = True
    libraries = ("numpy", "torch", "diffusers")
    # Values of what it denoises lie in [-reach, reach].
    reach = 1.0
    conditioner = Conditioner()

    def latent_shape(self, data: ImageSet) -> tuple[int, int, int]:
        """Return the shape (channels, height, width) of what is denoised."""
        raise NotImplementedError

    def supply(self, data: ImageSet, lesions: np.ndarray | None, plan: "Plan") -> "Supply":
        """Return where training takes what is denoised from; ``lesions`` (n, height, width) cover pixels of images."""
        raise NotImplementedError

    def decode(self, latents: "torch.Tensor", plan: "Plan") -> np.ndarray:
        """Return images, uint8 (n, height, width, channels), of what has been denoised."""
        raise NotImplementedError

    def prepare(self, data: ImageSet, run_dir: Path, seed: int) -> None:
        """Do what comes before the training of the U-Net; called again after an interruption."""

    def pool_lesions(self, covered: np.ndarray) -> np.ndarray:
        """Return what lesions cover of what is denoised, from what they cover of pixels; both (n, height, width)."""
        return covered

    @classmethod
    def check(cls, options: Options, sampler: Options, size: int) -> None:
        check_noise(options)
        check_sampling_steps(sampler["steps"], options["timesteps"])
        if both := set(options["attributes"]) & set(options["continuous"]):
            raise UserError(f"options.continuous: {', '.join(sorted(both))} stands in options.attributes, too")

    @classmethod
    def steps(cls, options: Options, size: int, n: int) -> tuple[int, int]:
        return 1, count_steps(n, options["batch_size"], options["epochs"], options["steps"])

    def plan(self, training: bool) -> "Plan":
        from radsynth.learning.devices import choose_plan

        if training:
            return choose_plan(self.options["precision"], self.options["compile"], self.team)
        return choose_plan(self.options["precision"], compile=False)

    # Training

    def learn(self, data: ImageSet, run_dir: Path, seed: int) -> None:
        self.conditioner = Conditioner.learn(data, self.options)
        self.prepare(data, run_dir, seed)
        super().learn(data, run_dir, seed)

    def begin(self, data: ImageSet, steps: int, plan: "Plan") -> "DenoisingTask":
        from radsynth.generators.denoising import DenoisingTask

        channels, height, width = self.latent_shape(data)
        lesions = 2 * (self.conditioner.lesions != "none")
        self.unet = build_unet(
            self.options, height, width, channels, further=lesions, told=bool(self.conditioner.parts)
        )
        self.scheduler = build_scheduler(self.options)
        self._connect()
        covered = self.conditioner.covered(self.conditioner.training, *data.images.shape[1:3]) if lesions else None
        supply = self.supply(data, covered, plan)
        return DenoisingTask(self.network, self.scheduler, supply, self.options, steps, plan, self._told(plan))

    def _connect(self) -> None:
        """Make the network that is trained and drawn from: the U-Net, with an embedding of what it is told."""
        from radsynth.generators.conditioned import ConditionedUNet

        columns = sum(self.conditioner.parts)
        self.network = ConditionedUNet(self.unet, columns) if columns else self.unet

    def _told(self, plan: "Plan") -> "Told | None":
        from radsynth.generators.denoising import Told

        if not self.conditioner.parts:
            return None
        known = self.conditioner.encode(self.conditioner.training)
        return Told(known, self.conditioner.parts, self.options, plan)

    def take_over(self, task: "DenoisingTask", start: "Denoiser") -> None:
        """As ``Stepwise``; told of other labels or values, the network learns anew what these look like."""
        if not self.conditioner.tells_as(start.conditioner):
            log.info("what the model to begin from was told is not what this one is: learning that anew")
            start.network.embedding = self.network.embedding
        task.descent.begin_from(start.network)

    def shown(self, task: "DenoisingTask") -> AbstractContextManager[None]:
        return task.descent.averaged_weights()

    def end(self, task: "DenoisingTask") -> None:
        task.descent.keep_averaged_weights()

    # Images

    def conditions(self, label: str, size: int, seed: int, kind: str = "fresh") -> Conditions:
        if not self.conditioner.parts:
            return super().conditions(label, size, seed, kind)
        return {"fresh": fresh, "train": replayed}[kind](self.conditioner, label, size, seed)

    def check_conditions(self, rows: Sequence[Mapping[str, Any]], where: str) -> None:
        self.conditioner.check(rows, where)

    def sample(
        self,
        indices: Sequence[int],
        seed: int,
        conditions: Conditions | None = None,
        sampler: Options | None = None,
    ) -> Iterator[Batch]:
        from radsynth.generators.conditioned import guided
        from radsynth.generators.diffusion import denoise

        sampler = sampler or QUICK_SAMPLER | {"steps": min(QUICK_SAMPLER["steps"], self.options["timesteps"])}
        rows = [{}] * len(indices) if conditions is None else list(conditions.rows)
        self.check_conditions(rows, "conditions")
        guidance = sampler.get("guidance", 1)
        if guidance != 1 and not self.conditioner.parts:
            raise UserError(f"sampler.guidance: {guidance}, but the model is told nothing that images could heed")
        plan = self.plan(training=False)
        self.device = plan.name
        network = plan.place(self.network).eval()
        channels, shape = self.unet.config.out_channels, tuple(self.unet.config.sample_size)
        for chunk, filled in plan.batches(range(len(indices)), sampler["batch_size"]):
            told = self._asked([rows[position] for position in filled], plan)
            predict = self._predict(guided(network, told, guidance), plan)
            rngs = [image_rng(seed, indices[position]) for position in filled]
            latents = denoise(
                *(predict, self.options["prediction"], self.scheduler.config, sampler, rngs),
                *((channels, *shape), plan.device, self.reach),
            )
            images = self.decode(latents, plan)[: len(chunk)]
            yield from self._batches([indices[position] for position in chunk], images, [rows[p] for p in chunk])

    def _asked(self, rows: Sequence[Mapping[str, Any]], plan: "Plan") -> list["torch.Tensor"]:
        """Return what the network is told of images that are to be drawn."""
        import torch

        from radsynth.generators.denoising import with_known

        if not self.conditioner.parts:
            return []
        known = torch.from_numpy(self.conditioner.encode(rows)).to(plan.device)
        if self.conditioner.lesions == "none":
            return [known]
        height, width = self.image_size
        covered = self.pool_lesions(self.conditioner.covered(rows, height, width))
        return [known, with_known(torch.from_numpy(covered).to(plan.device).unsqueeze(1), known[:, -1])]

    def _predict(self, predict: Any, plan: "Plan") -> Any:
        import torch

        @torch.no_grad()
        def computed(noisy: "torch.Tensor", timesteps: "torch.Tensor") -> "torch.Tensor":
            with plan.autocast():
                return predict(noisy, timesteps)

        return computed

    def _batches(
        self, indices: Sequence[int], images: np.ndarray, rows: Sequence[Mapping[str, Any]]
    ) -> Iterator[Batch]:
        """Yield images with the masks of the lesions that were asked for, and those of which nothing was asked."""
        masked = [self.conditioner.lesions != "none" and knows_lesions(row) for row in rows]
        for with_masks in sorted(set(masked)):
            chosen = [position for position, found in enumerate(masked) if found == with_masks]
            masks = None
            if with_masks:
                masks = np.array([lesion_mask(rows[position], *images.shape[1:3]) for position in chosen])
            yield Batch([indices[position] for position in chosen], images[chosen], masks, self.channels)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.facts["data"]["height"], self.facts["data"]["width"]

    # Files

    def write(self, model_dir: Path) -> None:
        self.unet.save_pretrained(model_dir / "unet")
        self.scheduler.save_pretrained(model_dir / "scheduler")
        if self.conditioner.parts:
            from safetensors.torch import save_file

            write_json(model_dir / "conditions.json", self.conditioner.to_json())
            save_file(self.network.embedding.state_dict(), model_dir / "embedding.safetensors")

    def read(self, model_dir: Path) -> None:
        diffusers = import_diffusers()
        self.unet = diffusers.UNet2DModel.from_pretrained(
            model_dir / "unet", low_cpu_mem_usage=False, use_safetensors=True
        )
        self.scheduler = diffusers.DDPMScheduler.from_pretrained(model_dir / "scheduler")
        if (model_dir / "conditions.json").is_file():
            self.conditioner = Conditioner.from_json(read_json(model_dir / "conditions.json"))
        self._connect()
        if self.conditioner.parts:
            from safetensors.torch import load_file

            self.network.embedding.load_state_dict(load_file(model_dir / "embedding.safetensors"))

    def measures(self) -> dict[str, Any]:
        return {
            "parameters": sum(parameter.numel() for parameter in self.network.parameters()),
            "gflop_per_image": count_gflop(self.unet),
        }
