"""Training a PGGAN of a few features: the step against a plain loop, growth, resume, saved models, the picture."""

import contextlib
import copy
import json
import os
import signal

import numpy as np
import pytest
import torch
from radsynth.common.errors import UserError
from radsynth.common.sets import ImageSet
from radsynth.generators import options as options_module
from radsynth.generators.adversarial import MEASURES, AdversarialTask
from radsynth.generators.augmentation import augment, draw_changes
from radsynth.generators.growth import Growth
from radsynth.generators.options import resolve_options
from radsynth.generators.pggan import PGGAN
from radsynth.generators.progressive import build_critic, build_generator, enlarge, halve
from radsynth.learning.curves import growth_marks, plot_training
from radsynth.learning.devices import choose_plan
from radsynth.learning.measured import read_metrics
from safetensors.torch import load_file

# 4 px in steps 0 and 1; then 8 and 16 px, each faded in over 4 steps and kept for 2: 14 steps.
TINY = {
    "widths": [8, 8, 4],
    "latent_size": 6,
    "start_size": 4,
    "batch_size": 4,
    "start_images": 8,
    "fade_images": 16,
    "stabilize_images": 8,
    "learning_rate": 0.01,
    "ema_decay": 0.5,
    "log_every": 2,
    "previews": 0,
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def data():
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 16), dtype=np.uint8)
    return ImageSet(images[..., None], [{"label": "NORMAL"}] * 9)


def tiny(**overrides):
    return resolve_options("pggan", "cpu", {**TINY, **overrides})


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pggan")
    generator = PGGAN(tiny(previews=2))
    generator.fit(data, folder, seed=3)
    generator.save(folder / "model")
    return generator, folder


def make_task(data, **overrides):
    options = tiny(**overrides)
    growth = Growth.plan(options, 16, 16)
    torch.manual_seed(4)
    networks = build_generator(options, growth.last), build_critic(options, growth.last)
    return AdversarialTask(*networks, data.gray(), growth, options, choose_plan("fp32"))


def take(task, step):
    torch.manual_seed(100 + step)
    return task.step(step, np.arange(step, step + 4) % 9)


def weights(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


# The step


def changes_of_both(options):
    """Return the changes of four reals, and of four fakes."""
    matrix, change = draw_changes(8, options, torch.device("cpu"))
    if matrix is None:
        return (None, None), (None, None)
    return (matrix[:4], change[:, :4]), (matrix[4:], change[:, 4:])


def plain_steps(task, data, steps):
    """The same training as a plain loop writes it: separate batches, unfused Adam, the average by hand."""
    options, growth, level = task.options, task.growth, None
    generator, critic, average = (copy.deepcopy(x) for x in (task.generator, task.critic, task.average))
    for step in range(steps):
        if growth.at(step)[0] != level:
            rates = {"lr": options["learning_rate"], "betas": (0.0, 0.99), "foreach": False}
            adams = [torch.optim.Adam(network.parameters(), **rates) for network in (critic, generator)]
        level, alpha = growth.at(step)
        torch.manual_seed(100 + step)
        latents, mixing = torch.randn(4, 6), torch.rand(4, 1, 1, 1)
        reals = torch.from_numpy(data.gray()[np.arange(step, step + 4) % 9]).float()[:, None] / 127.5 - 1
        for _ in range(2 - level):
            reals = halve(reals)
        reals = alpha * reals + (1 - alpha) * enlarge(halve(reals), options["upsampling"])
        # The same changes of the fakes in both turns; the penalty is taken between changed images.
        of_reals, of_fakes = changes_of_both(options)
        reals = augment(reals, *of_reals)
        fakes = augment(generator(latents, level, alpha), *of_fakes).detach()
        mixed = ((1 - mixing) * fakes + mixing * reals).requires_grad_()
        slopes = torch.autograd.grad(critic(mixed, level, alpha).sum(), mixed, create_graph=True)[0]
        penalty = ((slopes.square().sum(dim=(1, 2, 3)).sqrt() - 1) ** 2).mean()
        real, fake = critic(reals, level, alpha), critic(fakes, level, alpha)
        critic.zero_grad()
        (fake.mean() - real.mean() + 10 * penalty + 0.3 * (real**2).mean()).backward()
        adams[0].step()
        generator.zero_grad()
        (-critic(augment(generator(latents, level, alpha), *of_fakes), level, alpha).mean()).backward()
        adams[1].step()
        for mean, now in zip(average.parameters(), generator.parameters(), strict=True):
            mean.data = options["ema_decay"] * mean.data + (1 - options["ema_decay"]) * now.data
    return generator, critic, average


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_steps_are_those_of_a_plain_loop(data, preset):
    """Through two growth steps, in the way that either preset resamples, normalizes and changes images.

    Where a gradient is all but 0, Adam's first step after a reset has a random sign: so nearly all weights agree.
    """
    keys = ("upsampling", "critic_pixel_norm", "leaky_slope", "augment_probability")
    ways = {key: resolve_options("pggan", preset, {})[key] for key in keys}
    task = make_task(data, **ways, learning_rate=0.001, drift=0.3)
    expected = plain_steps(task, data, 12)
    for step in range(12):
        take(task, step)
    for ours, theirs in zip((task.generator, task.critic, task.average), expected, strict=True):
        difference = (weights(ours) - weights(theirs)).abs()
        assert (difference < 1e-4).float().mean() > 0.98
        assert difference.max() < 0.02


def test_each_step_measures_losses_scores_and_norms(data):
    task = make_task(data)
    measured, finite = take(task, 0)
    assert finite
    value = {key: (total / count).item() for key, (total, count) in measured.items()}
    assert set(value) == {*MEASURES, "skipped"}
    assert value["skipped"] == 0
    # Real scores are near 0 at first, so that the drift does not count.
    expected = value["fake_score"] - value["real_score"] + 10 * value["gradient_penalty"]
    assert value["critic_loss"] == pytest.approx(expected, abs=0.01)


def test_both_optimizers_begin_anew_at_each_new_resolution_only(data):
    task, counts = make_task(data), []
    for step in range(14):
        take(task, step)
        states = [state for optimizer in task.optimizers.values() for state in optimizer.state.values()]
        # The gray layer that has faded out takes no further steps.
        counts.append(max(int(state["step"]) for state in states))
    assert counts == [1, 2, *range(1, 7), *range(1, 7)]


def test_average_follows_its_recursion(data):
    task = make_task(data, ema_decay=0.9)
    expected = weights(task.generator)
    assert torch.equal(weights(task.average), expected)
    for step in range(5):
        take(task, step)
        expected = 0.9 * expected + 0.1 * weights(task.generator)
        assert torch.allclose(weights(task.average), expected, atol=1e-6)


@pytest.mark.parametrize("broken", ["critic", "generator"])
def test_a_network_without_finite_gradient_keeps_its_weights(data, broken):
    task = make_task(data)
    take(task, 0)
    networks = {"critic": task.critic, "generator": task.generator}
    before = {name: weights(network) for name, network in networks.items()}
    state = copy.deepcopy(task.optimizers[broken].state_dict()["state"])
    first = task.learning[broken][0]
    hook = first.register_hook(lambda gradient: gradient * float("nan"))
    measured, finite = take(task, 1)
    hook.remove()
    assert not finite
    assert measured["skipped"][0] == 1
    assert measured["critic_loss"][1] == 0
    assert torch.equal(weights(networks[broken]), before[broken])
    assert torch.equal(weights(task.generator), before["generator"]), "a broken critic teaches nothing"
    # As if the step had not been: the count of Adam's steps goes back too.
    after = task.optimizers[broken].state_dict()["state"]
    assert all(torch.equal(after[key]["step"], state[key]["step"]) for key in state)
    assert take(task, 2)[1]
    assert torch.isfinite(weights(task.critic)).all()


def test_nothing_waits_for_the_device_within_a_step(data, monkeypatch):
    task = make_task(data)
    take(task, 4)
    for name in ("item", "tolist", "numpy", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_, name=name: pytest.fail(f"{name} waits for the device"))
    task.step(5, np.arange(4))


class Graph:
    """Stands in for a CUDA graph: counts what is asked of it."""

    made, replays = 0, 0

    def __init__(self):
        Graph.made += 1

    def replay(self):
        Graph.replays += 1


def test_each_long_enough_phase_is_captured_once_after_three_eager_steps(data, monkeypatch):
    task, calls = make_task(data), []
    results = torch.zeros(len(MEASURES)), torch.tensor(True)
    task.graphs = True
    task._update = lambda: (calls.append("capture"), results)[1]
    task._update_aside = lambda: (calls.append("eager"), results)[1]
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream: contextlib.nullcontext())
    for step in range(14):
        before = Graph.replays
        measured, _ = take(task, step)
        if Graph.replays > before:
            kept_apart = measured["critic_loss"][0].data_ptr() != results[0].data_ptr()
            assert kept_apart, "the next replay would change what was measured"
    fade_in = ["eager", "eager", "eager", "capture"]
    kept = ["eager", "eager"]
    assert calls == kept + fade_in + kept + fade_in + kept
    assert (Graph.made, Graph.replays) == (2, 2)
    task.load_state_dict(copy.deepcopy(task.state_dict()))
    assert task.graph is None, "it would go on with the tensors of before"


def test_without_cuda_graphs_training_goes_on_step_by_step(data, monkeypatch, caplog):
    def refuse(graph, stream):
        raise RuntimeError("not permitted when stream is capturing\nand more")

    task, plain = make_task(data), make_task(data)
    task.graphs, task._update_aside = True, task._update
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", refuse)
    for step in range(10):
        take(task, step)
        take(plain, step)
    assert torch.equal(weights(task.generator), weights(plain.generator))
    assert caplog.text.count("no CUDA graph, training step by step: not permitted when stream is capturing\n") == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA")
def test_graphs_train_like_eager_steps_through_growth_resume_and_a_skipped_step(data):
    phases = {"start_images": 32, "fade_images": 32, "stabilize_images": 32}
    graphed, eager = make_task(data, **phases), make_task(data, **phases, cuda_graphs=False)
    for step in range(40):
        if step == 21:
            graphed.load_state_dict(copy.deepcopy(graphed.state_dict()))
        for task in (graphed, eager):
            if step == 30:
                task.reals[0, 0, 0, 0] = float("nan")
            _, finite = take(task, step)
            assert step >= 30 or finite
    assert graphed.graphs and graphed.graph is not None, "capture failed"
    torch.testing.assert_close(weights(graphed.generator), weights(eager.generator), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(weights(graphed.average), weights(eager.average), rtol=1e-3, atol=1e-4)


# Growth, resume


def states(folder):
    newest = sorted((folder / "state").glob("step_*"))[-1]
    return torch.load(newest / "state.pt", weights_only=True)["task"]


# In the first resolution, before growth, in the fade-in of 8 px, while it is kept, at the end of it, near the end.
@pytest.mark.parametrize("stops", [[0], [1], [3], [7], [4, 8, 10], [12]])
def test_an_interrupted_training_ends_with_the_same_weights(data, fitted, tmp_path, monkeypatch, stops):
    step = AdversarialTask.step

    def interrupted(self, number, indices):
        if number in stops:
            stops.remove(number)
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, number, indices)

    monkeypatch.setattr(AdversarialTask, "step", interrupted)
    while stops:
        number = stops[0]
        with pytest.raises(SystemExit):
            PGGAN(tiny(previews=2)).fit(data, tmp_path, seed=3)
        growth = Growth.plan(tiny(), 16, 16)
        assert (states(tmp_path)["level"], states(tmp_path)["alpha"]) == growth.at(number)
    generator = PGGAN(tiny(previews=2))
    generator.fit(data, tmp_path, seed=3)
    assert torch.equal(weights(generator.generator), weights(fitted[0].generator))
    assert (generator.facts["resolution"], generator.facts["alpha"]) == (16, 1.0)
    for key in ("generator", "critic"):
        ours, whole = states(tmp_path)[key], states(fitted[1])[key]
        assert all(torch.equal(ours[name], whole[name]) for name in whole)
    ours, whole = (
        [(row["step"], row["resolution"], row["alpha"], row["critic_loss"]) for row in read_metrics(file)]
        for file in (tmp_path / "progress" / "metrics.jsonl", fitted[1] / "progress" / "metrics.jsonl")
    )
    assert ours == whole


def test_a_finished_training_is_not_repeated(data, fitted, tmp_path):
    again = PGGAN(tiny(previews=2))
    again.fit(data, fitted[1], seed=3)
    assert torch.equal(weights(again.generator), weights(fitted[0].generator))
    assert again.facts == fitted[0].facts


def test_training_depends_on_the_seed(data, fitted, tmp_path):
    other = PGGAN(tiny(previews=2))
    other.fit(data, tmp_path, seed=4)
    assert not torch.equal(weights(other.generator), weights(fitted[0].generator))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [({"steps": 8}, "options.steps: 8 end at 8 px"), ({"widths": [8, 8]}, "options.widths: 2 entries reach 8 px")],
)
def test_impossible_trainings_are_refused_at_once(data, tmp_path, overrides, message):
    with pytest.raises(UserError, match=message) as error:
        PGGAN(tiny(**overrides)).fit(data, tmp_path, seed=3)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


# Samples and saved models


def pool(generator, indices, seed, **sampler):
    batches = list(generator.sample(indices, seed, sampler=sampler or None))
    return np.concatenate([batch.images for batch in batches])


def test_images_depend_on_seed_and_index_alone(fitted):
    generator, _ = fitted
    whole = pool(generator, range(10), 21, batch_size=7)
    assert whole.shape == (10, 16, 16, 1)
    assert whole.dtype == np.uint8
    shard = pool(generator, [8, 9, 3], 21, batch_size=2)
    assert np.abs(shard.astype(int) - whole[[8, 9, 3]]).max() <= 1
    assert (pool(generator, range(10), 22, batch_size=7) != whole).mean() > 0.5
    assert [b.indices for b in generator.sample([5, 1, 7], 21, sampler={"batch_size": 2})] == [[5, 1], [7]]


def test_saved_model_is_the_average_and_gives_the_same_images(fitted):
    generator, folder = fitted
    loaded = PGGAN.load(folder / "model")
    assert np.array_equal(pool(loaded, range(3), 5), pool(generator, range(3), 5))
    state = states(folder)
    saved = load_file(folder / "model" / "model.safetensors")
    assert set(saved) == set(state["average"])
    assert all(torch.equal(saved[name], state["average"][name]) for name in saved)
    assert any(not torch.equal(saved[name], state["generator"][name]) for name in saved)
    written = json.loads((folder / "model" / "generator.json").read_text())
    assert written["options"] == generator.options
    assert (written["facts"]["resolution"], written["facts"]["alpha"]) == (16, 1.0)
    description = loaded.describe()
    assert description["parameters"] == sum(tensor.numel() for tensor in saved.values())
    assert description["critic_parameters"] == sum(tensor.numel() for tensor in state["critic"].values())
    assert description["gflop_per_image"] > 0


def test_a_training_stopped_within_the_last_fade_in_samples_with_its_alpha(data, fitted, tmp_path):
    generator = PGGAN(tiny(steps=11))
    generator.fit(data, tmp_path, seed=3)
    assert (generator.facts["resolution"], generator.facts["alpha"]) == (16, 0.5)
    generator.save(tmp_path / "model")
    assert np.array_equal(pool(PGGAN.load(tmp_path / "model"), [0], 5), pool(generator, [0], 5))
    images = pool(generator, range(4), 5)
    generator.facts["alpha"] = 1.0
    assert not np.array_equal(pool(generator, range(4), 5), images)


def test_previews_of_smaller_resolutions_have_the_size_of_the_data(fitted):
    generator, folder = fitted
    assert len(list((folder / "progress").glob("preview_*.png"))) == 1
    early = PGGAN(generator.options)
    early.generator, early.facts = generator.generator, {**generator.facts, "resolution": 4}
    images = pool(early, range(2), 1)
    assert images.shape == (2, 16, 16, 1)
    assert np.array_equal(images, images[:, ::4, ::4].repeat(4, axis=1).repeat(4, axis=2))


@pytest.mark.parametrize("size", [4, 8])
def test_images_of_the_first_resolution_need_no_growth(tmp_path, size):
    images = np.random.default_rng(0).integers(0, 256, (5, size, size), dtype=np.uint8)
    generator = PGGAN(tiny(start_size=size, previews=0))
    generator.fit(ImageSet(images[..., None], [{"label": "A"}] * 5), tmp_path, seed=1)
    assert pool(generator, range(2), 1).shape == (2, size, size, 1)


# Metrics and picture


def test_metrics_hold_resolution_and_alpha(fitted):
    rows = read_metrics(fitted[1] / "progress" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12, 14]
    assert [row["resolution"] for row in rows] == [4, 8, 8, 8, 16, 16, 16]
    assert [row["alpha"] for row in rows] == [1, 0.25, 0.75, 1, 0.25, 0.75, 1]
    assert all({*MEASURES, "images", "skipped", "images_per_s", "peak_memory_mb"} <= set(row) for row in rows)


def test_growth_marks_by_hand(fitted):
    rows = read_metrics(fitted[1] / "progress" / "metrics.jsonl")
    assert growth_marks(rows) == ([(2, 8), (8, 16)], [(2, 6), (8, 12)])
    assert growth_marks([{"step": 1, "loss": 1.0}, {"step": 2, "loss": 1.0}]) == ([], [])
    assert growth_marks([]) == ([], [])


def test_picture_marks_growth_and_shades_fade_in(fitted, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: (drawn.append(self), path.write_bytes(b""))[1])
    rows = read_metrics(fitted[1] / "progress" / "metrics.jsonl")
    plot_training(rows, tmp_path / "training.png", title="pggan")
    panels = {axes.get_ylabel(): axes for axes in drawn[0].axes}
    assert list(panels) == ["loss", "score", "gradient penalty", "gradient norm", "images / s"]
    for axes in panels.values():
        dashed = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"]
        assert dashed == [2, 8]
        assert [text.get_text() for text in axes.texts] == ["8 px", "16 px"]
        assert [(p.get_x(), p.get_x() + p.get_width()) for p in axes.patches] == [(2, 6), (8, 12)]
    assert [text.get_text() for text in panels["loss"].get_legend().get_texts()] == ["critic", "generator"]
    assert panels["loss"].get_yscale() == "linear"
    assert np.allclose(panels["score"].lines[0].get_ydata(), [row["real_score"] for row in rows])


def test_every_hyperparameter_is_described():
    for part in options_module.read_schema("generators/pggan")["properties"].values():
        for key, entry in part["properties"].items():
            assert entry["description"].endswith("."), key
            assert "default" in entry, key


def test_a_batch_must_hold_whole_groups():
    with pytest.raises(UserError, match=r"options.batch_size: 6 is not a multiple of 4"):
        tiny(batch_size=6)
