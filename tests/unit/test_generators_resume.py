"""A DDPM training that is killed again and again ends with the weights of an undisturbed one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# One process imports torch; each training is a fork of it, so that a kill costs milliseconds.
DRIVER = """
import hashlib, json, os, random, signal, sys, time
from pathlib import Path
import numpy as np
from radsynth.common.sets import ImageSet
from radsynth.generators.ddpm import DDPM
from radsynth.generators.options import resolve_options

folder, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
options = resolve_options("ddpm", "cpu", {
    "block_out_channels": [8], "norm_groups": 4, "layers_per_block": 1, "attention_levels": [], "steps": 40,
    "batch_size": 4, "log_every": 7, "previews": 0, "dropout": 0.1, "checkpoint_minutes": 0,
})
images = np.random.default_rng(0).integers(0, 256, (10, 16, 16), dtype=np.uint8)
data = ImageSet(images[..., None], [{"label": "A"}] * 10)

def train(run):
    generator = DDPM(options)
    generator.fit(data, run, seed=3, selection={"method": "kid", "checkpoints": 6, "first": 5})
    generator.save(run / "model")
    os._exit(0)

def digest(run):
    # Of the trained model and of those that were kept on the way.
    files = sorted(run.rglob("*.safetensors"))
    return {str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

def fork(run):
    child = os.fork()
    if child == 0:
        train(run)
    return child

began = time.monotonic()
os.waitpid(fork(folder / "whole"), 0)
duration = time.monotonic() - began
reference = digest(folder / "whole")
chance = random.Random(seed)
results = []
for number in range(rounds):
    # More than half of the time goes into checkpoints, one per step, so about half of the kills hit one.
    run, kills = folder / f"round_{number}", 0
    for _ in range(4):
        child = fork(run)
        time.sleep(chance.uniform(0.1, 0.4) * duration)
        os.kill(child, signal.SIGKILL)
        kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    os.waitpid(fork(run), 0)
    metrics = [json.loads(line)["step"] for line in (run / "progress/metrics.jsonl").read_text().splitlines()]
    same = len(reference) == 7 and digest(run) == reference
    results.append({"kills": kills, "same": same, "metrics": metrics})
print(json.dumps(results))
"""


@pytest.fixture
def outcome(tmp_path, request):
    rounds, seed = request.param
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    library = Path(__file__).resolve().parents[2] / "workflow" / "scripts"
    environment = {"PYTHONPATH": str(library), "OMP_NUM_THREADS": "1", "PATH": ""}
    command = [sys.executable, str(script), str(tmp_path / "runs"), str(rounds), str(seed)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


@pytest.mark.parametrize("outcome", [(2, 1), pytest.param((12, 2), marks=pytest.mark.slow)], indirect=True)
def test_killed_training_ends_with_the_same_weights(outcome):
    assert sum(result["kills"] for result in outcome) >= 2 * len(outcome)
    for result in outcome:
        assert result["same"]
        assert result["metrics"] == [7, 14, 21, 28, 35, 40]
