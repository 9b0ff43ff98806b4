"""Checkpoints: always one whole state on disk."""

import json
from pathlib import Path

import pytest
import torch
from radsynth.common.errors import UserError
from radsynth.learning.checkpoints import Checkpoints


def state(value):
    return {"step": value, "tensor": torch.full((50,), float(value)), "plain": {"a": [1, 2.5, None]}}


def newest(folder):
    return max(folder.glob("step_*"))


def test_returns_the_newest_state_and_keeps_the_one_before(tmp_path):
    checkpoints = Checkpoints(tmp_path, "f")
    assert checkpoints.load() is None
    for step in (1, 5, 10):
        checkpoints.save(step, state(step))
    loaded = checkpoints.load()
    assert loaded["plain"] == {"a": [1, 2.5, None]}
    assert torch.equal(loaded["tensor"], torch.full((50,), 10.0))
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["step_000000005", "step_000000010"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no manifest", "half a manifest", "no state"])
def test_damaged_state_falls_back_with_a_warning(tmp_path, caplog, damage):
    checkpoints = Checkpoints(tmp_path, "f")
    checkpoints.save(1, state(1))
    checkpoints.save(2, state(2))
    content, manifest = newest(tmp_path) / "state.pt", newest(tmp_path) / "manifest.json"
    data = content.read_bytes()
    if damage == "truncated":
        content.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        content.write_bytes(data[:-100] + bytes([data[-100] ^ 1]) + data[-99:])
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "half a manifest":
        manifest.write_text(manifest.read_text()[:20])
    else:
        content.unlink()
    assert checkpoints.load()["step"] == 1
    assert "is damaged" in caplog.text
    assert checkpoints.load()["step"] == 1


def test_state_of_another_training_is_discarded(tmp_path):
    Checkpoints(tmp_path, "old").save(3, state(3))
    assert Checkpoints(tmp_path, "new").load() is None
    assert Checkpoints(tmp_path, "old").load() is None


@pytest.mark.parametrize("moment", ["before", "after"])
def test_death_around_the_replacement_leaves_a_whole_state(tmp_path, monkeypatch, moment):
    checkpoints = Checkpoints(tmp_path, "f")
    checkpoints.save(1, state(1))
    replace = Path.replace

    def dying(source, target):
        if moment == "after":
            replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(2, state(2))
    monkeypatch.undo()
    assert checkpoints.load()["step"] == (1 if moment == "before" else 2)
    checkpoints.save(3, state(3))
    assert checkpoints.load()["step"] == 3
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk_leaves_the_state_before_and_names_the_file(disk):
    checkpoints = Checkpoints(disk.folder / "state", "f")
    checkpoints.save(1, state(1))
    large = state(2) | {"tensor": torch.zeros(100_000)}
    with disk.full(left=100_000), pytest.raises(UserError) as caught:
        checkpoints.save(2, large)
    reason = "No space left on device" if disk.size else "File too large"
    assert str(caught.value) == f"{disk.folder}/state/step_000000002/state.pt: could not be written ({reason})"
    assert [folder.name for folder in (disk.folder / "state").iterdir()] == ["step_000000001"]
    assert checkpoints.load()["step"] == 1
    checkpoints.save(2, large)
    assert checkpoints.load()["step"] == 2


def test_the_manifest_names_size_and_hash(tmp_path):
    Checkpoints(tmp_path, "f").save(4, state(4))
    manifest = json.loads((newest(tmp_path) / "manifest.json").read_text())
    assert manifest["size"] == (newest(tmp_path) / "state.pt").stat().st_size
    assert manifest["fingerprint"] == "f"
    assert len(manifest["sha256"]) == 64
