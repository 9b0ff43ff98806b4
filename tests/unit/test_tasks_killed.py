"""A classifier that is killed, while it learns or while it is saved, starts anew and ends with the same bits."""

import json
import os
import signal
import subprocess
import sys

# One process imports Keras; each job is a fork of it, so that a kill costs little. The job is the rule's own script.
DRIVER = """
import json, os, runpy, sys
sys.modules["tensorflow"] = None  # as where it is not installed: importing it takes longer than all the rest
from pathlib import Path
from types import SimpleNamespace
import numpy as np
import pandas as pd
from PIL import Image
import keras
from radsynth.tasks import keras_training
from radsynth.common.hashing import sha256_pixels

folder, script, *numbers = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
rng = np.random.default_rng(0)
(folder / "images").mkdir()
rows = []
for index in range(24):
    label = ("NORMAL", "PNEUMONIA")[index % 2]
    pixels = rng.integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"images/{index}.png")
    rows.append({"image_id": str(index), "file": f"images/{index}.png", "label": label, "patient_id": f"p{index}",
                 "sha256": sha256_pixels(pixels)})
pd.DataFrame(rows).to_csv(folder / "train.csv", index=False)
pd.DataFrame(rows[:0], columns=list(rows[0])).to_csv(folder / "validation.csv", index=False)

class Named(dict):
    __getattr__ = dict.__getitem__

    def __iter__(self):
        return iter([])

def job(run, moment, number):
    def die():
        os.kill(os.getpid(), number)

    run.mkdir(exist_ok=True)
    steps = [0]
    save, count = keras.Model.save, keras_training._History.on_train_batch_end

    def half(model, path, **options):
        save(model, path, **options)
        path.write_bytes(path.read_bytes()[:-1000])
        die()

    def dying(history, batch, logs=None):
        count(history, batch, logs)
        steps[0] += 1
        if steps[0] == 4:
            die()

    if moment == "training":
        keras_training._History.on_train_batch_end = dying
    elif moment == "saving":
        keras.Model.save = half
    outputs = {"model": run / "model"} | {name: run / f"{name}.csv" for name in ("history", "split")}
    snakemake = SimpleNamespace(
        rule="train_classifier", log=[folder / "job.log"], resources={}, config={}, threads=1,
        input=Named(train=folder / "train.csv", validation=folder / "validation.csv", known=[], pools=[]),
        output=Named(outputs, training=run / "training.json"),
        params=Named(
            classifier={"architecture": "custom_cnn", "weights": "none", "input_size": 32, "epochs": 3,
                        "batch_size": 8, "learning_rate": 1e-3, "dropout": 0.5},
            arm={"mix": {"real": True, "pools": {}}, "augmented": [], "steps_of": None, "known": None},
            task="classification", name="baseline", known_scenarios=[], mix_pools=[],
            labels=["NORMAL", "PNEUMONIA"], positive_label="NORMAL",
            backend="torch", validation="images", validation_fraction=0.2, seed_split=1, seed_train=2, root=str(folder),
        ),
    )
    runpy.run_path(script, init_globals={"snakemake": snakemake})

def fork(run, moment="", number=0):
    child = os.fork()
    if child == 0:
        try:
            job(run, moment, number)
        finally:
            os._exit(1 if sys.exc_info()[1] else 0)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) or -os.WEXITSTATUS(status), sorted(path.name for path in run.iterdir())

def facts(run):
    weights = keras.saving.load_model(run / "model/model.keras").get_weights()
    history = pd.read_csv(run / "history.csv", dtype=str).drop(columns="seconds")
    return b"".join(map(bytes, weights)), history.to_csv(), (run / "split.csv").read_text()

whole, ends = fork(folder / "whole"), []
for number in numbers:
    run = folder / f"parts_{number}"
    ends.append([fork(run, "training", number), fork(run, "saving", number), fork(run)])
    ends[-1].append(facts(folder / "whole") == facts(run))
print(json.dumps([whole, ends]))
"""
WHOLE = ["history.csv", "model", "split.csv", "training.json"]


def test_a_killed_classifier_starts_anew_and_ends_the_same(tmp_path, root):
    environment = {**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": str(root / "workflow/scripts")}
    script = root / "workflow/scripts/train_classifier.py"
    numbers = [signal.SIGTERM, signal.SIGKILL]
    command = [sys.executable, "-c", DRIVER, str(tmp_path), str(script), *(str(int(number)) for number in numbers)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    whole, ends = json.loads(result.stdout)
    assert whole == [0, WHOLE]
    for number, (training, saving, rest, same) in zip(numbers, ends, strict=True):
        assert training == [number, []]
        assert saving == [number, [".model.partial"]], "under its own name a model is whole or not there"
        assert rest == [0, WHOLE] and same
