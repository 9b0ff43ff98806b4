"""Whatever a family's schema allows and the plan accepts can be trained, previewed and sampled."""

import numpy as np
import pytest
import torch
from radsynth.common.errors import UserError
from radsynth.common.registry import find
from radsynth.common.schema import read_schema
from radsynth.common.sets import ImageSet
from radsynth.generators.options import check_generator, resolve_options, resolve_sampler
from radsynth.generators.training import train_generator
from radsynth.learning.measured import read_metrics

SIZE = 16
TOLD = {"attributes": [[]], "continuous": [[]], "lesions": ["none"]}
# What would only take longer, or needs other keys or images to agree, is drawn from these.
SMALL = {
    "ddpm": {
        **TOLD,
        "block_out_channels": [[8], [8, 16], [16, 8, 8]],
        "norm_groups": [1, 4],
        "attention_levels": [[], [0], [0, 1]],
        "layers_per_block": [1, 2],
        "timesteps": [2, 10, 100, 500, 1000],
        "beta_start": [1e-6, 1e-4, 1e-3, 0.1],
        "beta_end": [0.01, 0.02, 0.1, 0.9],
        "batch_size": [1, 4],
        "steps": [2],
    },
    "latent_diffusion": {
        **TOLD,
        "block_out_channels": [[8], [8, 16]],
        "norm_groups": [1, 4],
        "attention_levels": [[], [0]],
        "timesteps": [100, 1000],
        "beta_start": [1e-4, 1e-3],
        "beta_end": [0.02, 0.1],
        "batch_size": [1, 4],
        "steps": [2],
        "autoencoder_channels": [[4], [8, 8], [4, 8, 8], None],
        "autoencoder_norm_groups": [1, 4],
        "autoencoder_batch_size": [1, 4],
        "autoencoder_steps": [1, 4],
        "autoencoder_layers": [1, 2],
        "latent_channels": [1, 4],
        "critic_images": [1, 1000],
        "copies": [1, 3],
        "likeness": ["edges"],
        "bottleneck": ["warn"],
    },
    "pggan": {
        "widths": [[8, 8, 4], [4, 8, 4, 2]],
        "latent_size": [1, 6],
        "batch_size": [4, 8],
        "start_images": [1, 8],
        "fade_images": [0, 4],
        "stabilize_images": [1, 8],
        "steps": [2, None],
    },
}


def draw(name, schema, small, rng):
    """Return a value that the schema of one key allows."""
    if name in small:
        return small[name][rng.integers(len(small[name]))]
    if "enum" in schema:
        return schema["enum"][rng.integers(len(schema["enum"]))]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kind = kinds[rng.integers(len(kinds))]
    if kind == "null":
        return None
    if kind == "boolean":
        return bool(rng.integers(2))
    if kind == "array":
        return [draw("", {"default": 1, **schema["items"]}, {}, rng) for _ in range(schema["minItems"])]
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high = schema.get("maximum", schema.get("exclusiveMaximum", max(4 * (schema["default"] or 1), low + 4)))
    if kind == "integer":
        return int(rng.integers(low, min(high, low + 30) + 1))
    return float(rng.uniform(low + 1e-3 * (high - low), high - 1e-3 * (high - low)))


def drawn_generator(family, seed):
    """Return options and sampler that the plan accepts, and what was refused on the way."""
    parts, refused = read_schema(f"generators/{family}")["properties"], []
    rng = np.random.default_rng(seed)
    for _ in range(200):
        overrides = {
            part: {
                name: draw(name, schema, SMALL[family] if part == "options" else {"guidance": [1]}, rng)
                for name, schema in parts[part]["properties"].items()
            }
            for part in ("options", "sampler")
        }
        try:
            generator = {
                "family": family,
                "gpus": 1,
                "options": resolve_options(family, "cpu", overrides["options"]),
                "sampler": resolve_sampler(family, "cpu", overrides["sampler"]),
            }
            check_generator(generator, SIZE, "generators.g")
        except UserError as error:
            refused.append(str(error))
        else:
            return generator, refused
    raise AssertionError(refused)


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 10))])
@pytest.mark.parametrize("family", list(SMALL))
def test_any_valid_options_train_preview_and_sample(family, seed, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    generator, _ = drawn_generator(family, seed)
    options = generator["options"] | {"previews": 2, "log_every": 1}
    images = np.random.default_rng(0).integers(0, 256, (9, SIZE, SIZE), dtype=np.uint8)
    train_generator(
        family,
        options,
        ImageSet(images[..., None], [{"label": "NORMAL"}] * 9),
        model_dir=tmp_path / "model",
        training_png=tmp_path / "training.png",
        preview_png=tmp_path / "preview.png",
        seed=3,
    )
    steps = read_metrics(tmp_path / "model" / "metrics.jsonl")[-1]["step"]
    assert len(list((tmp_path / "progress").glob("preview_*.png"))) == min(steps - 1, 1)
    assert (tmp_path / "preview.png").is_file()
    model = find("families", family, "family").load().load(tmp_path / "model")
    batches = list(model.sample([0, 1, 7], 1, sampler=generator["sampler"]))
    drawn = np.concatenate([batch.images for batch in batches])
    assert drawn.shape == (3, SIZE, SIZE, 1) and drawn.dtype == np.uint8
    assert all(torch.isfinite(parameter).all() for parameter in networks(model))


def networks(model):
    network = model.unet if hasattr(model, "unet") else model.generator
    return list(network.parameters())


def test_what_is_drawn_covers_what_is_offered():
    """All names of schedules, predictions and samplers come up; what the plan refuses it refuses by name of the key."""
    chosen = [drawn_generator("ddpm", seed) for seed in range(10)]
    offered = read_schema("generators/ddpm")["properties"]["options"]["properties"]
    for key in ("beta_schedule", "prediction"):
        assert {generator["options"][key] for generator, _ in chosen} == set(offered[key]["enum"])
    assert len({generator["sampler"]["name"] for generator, _ in chosen}) == 3
    refused = {line.split(":")[0] for _, lines in chosen for line in lines}
    assert refused <= {
        f"generators.g.{key}"
        for key in (
            "options.timesteps",
            "options.attention_levels",
            "options.norm_groups",
            "options.block_out_channels",
            "sampler.steps",
        )
    }
