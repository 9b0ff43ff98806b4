"""The common room: seeds, hashes, atomic files, images, code hashes, GPU leases, jobs."""

import contextlib
import hashlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import stand_in
from PIL import Image
from radsynth.common import code
from radsynth.common.errors import UserError
from radsynth.common.files import atomic_folder, atomic_path, read_json, sole_writer, write_json, write_text
from radsynth.common.gpu import confirm_device, lease_gpus, visible_gpus
from radsynth.common.hashing import sha256_json, sha256_pixels
from radsynth.common.images import read_gray, read_gray_stack
from radsynth.common.job import job
from radsynth.common.progress import Progress
from radsynth.common.seeds import derive_seed


def test_seeds_are_the_documented_hash_and_differ_by_every_part():
    digest = hashlib.sha256(b'[7,"pool",3]').digest()
    assert derive_seed(7, "pool", 3) == int.from_bytes(digest[:8], "big") >> 1
    assert derive_seed(7, "pool", 3, bits=32) == int.from_bytes(digest[:4], "big")
    seeds = {derive_seed(s, a, b) for s in (1, 2) for a in ("x", "y") for b in (0, 1, "0")}
    assert len(seeds) == 12
    assert derive_seed(1, "ab", "c") != derive_seed(1, "a", "bc")


def test_hashes():
    assert sha256_pixels(np.zeros((1, 1), np.uint8)) == hashlib.sha256(b"\0").hexdigest()
    transposed = np.arange(6, dtype=np.uint8).reshape(2, 3).T
    assert sha256_pixels(transposed) == hashlib.sha256(bytes([0, 3, 1, 4, 2, 5])).hexdigest()
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"value": float("nan")})
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_reading_images(tmp_path):
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[:2]).save(tmp_path / "small.png")
    Image.fromarray(pixels.astype(np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    listed = pd.DataFrame(
        {"file": ["a.png", "small.png"], "sha256": [sha256_pixels(pixels), sha256_pixels(pixels[:2])]}
    )
    np.testing.assert_array_equal(read_gray_stack(tmp_path, listed.iloc[[0, 0]])[1], pixels)
    for file, words in [
        ("gone.png", "vanished"),
        ("deep.png", "expected 8-bit"),
        ("cut.png", "not a readable image"),
    ]:
        with pytest.raises(UserError, match=words) as error:
            read_gray(tmp_path / file)
        assert file in str(error.value)
    with pytest.raises(UserError, match=r"small.png.*size \(2, 4\), expected \(4, 4\)"):
        read_gray_stack(tmp_path, listed)
    with pytest.raises(UserError, match="without images"):
        read_gray_stack(tmp_path, listed.head(0))
    with pytest.raises(UserError, match=r"a.png: not the image that its manifest names, .* delete \S+ to have it made"):
        read_gray_stack(tmp_path, listed.assign(sha256=listed["sha256"][::-1].to_numpy()))


def test_a_damaged_png_is_named_or_has_all_its_pixels(tmp_path):
    path, rng = tmp_path / "a.png", np.random.default_rng(0)
    pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        try:
            np.testing.assert_array_equal(read_gray(path), pixels)  # only the end marker is missing
        except UserError as error:
            assert str(error).startswith(f"{path}: not a readable image") and "\n" not in str(error)
        else:
            assert length > len(whole) - 20
    for position in rng.integers(0, len(whole), 200):
        content = bytearray(whole)
        content[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        with contextlib.suppress(UserError):
            read_gray(path)


def test_an_image_that_would_fill_the_memory_is_not_unpacked(tmp_path, monkeypatch):
    Image.new("L", (3000, 3000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000 * 1000)
    with pytest.raises(UserError, match="bomb.png: not a readable image .*exceeds limit"):
        read_gray(tmp_path / "bomb.png")


@pytest.fixture
def small_library(tmp_path, monkeypatch):
    """A library of four modules in two rooms, and a script that imports one of them, which imports another."""
    library = tmp_path / "radsynth"
    for room in ("common", "rooms"):
        (library / room).mkdir(parents=True)
        (library / room / "__init__.py").write_text("")
    (library / "__init__.py").write_text("")
    (library / "common" / "base.py").write_text("x = 1\n")
    (library / "rooms" / "used.py").write_text("def f():\n    from radsynth.common.base import x\n    return x\n")
    (library / "rooms" / "family.py").write_text("y = 1\n")
    (library / "rooms" / "other.py").write_text("z = 1\n")
    (tmp_path / "script.py").write_text("from radsynth.rooms.used import f\n")
    monkeypatch.setattr(code, "LIBRARY", library)
    return library


def fresh_hash(library, *modules):
    """Return the hash of the script beside a library as a new process would."""
    code.code_hash.cache_clear()
    code._parsed.cache_clear()
    return code.code_hash(library.parent / "script.py", *modules)


def test_the_code_hash_follows_imports_and_only_those(small_library):
    def hashes():
        return fresh_hash(small_library), fresh_hash(small_library, "radsynth.rooms.family")

    before = hashes()
    (small_library / "rooms" / "other.py").write_text("z = 2\n")
    assert hashes() == before
    (small_library / "rooms" / "family.py").write_text("y = 2\n")
    family = hashes()
    assert family[0] == before[0] and family[1] != before[1]
    (small_library / "common" / "base.py").write_text("x = 2\n")
    assert all(now != then for now, then in zip(hashes(), family, strict=True))


def test_the_code_hash_is_the_same_on_every_python(tmp_path):
    """Or an environment of another Python would run everything again."""
    text = "class Drawn:\n    def at(self, x=[]):\n        return draw(x, {}, f'{x!r:>8}')\n\n\nasync def go(): pass\n"
    (tmp_path / "script.py").write_text(text)
    assert code._parsed(tmp_path / "script.py")[1] == (
        "fa43c1881754c88f65d163544e7d7518f15f26a1791b58bfc529db0a932748e6"
    )


def test_the_code_hash_is_of_what_the_code_does(small_library):
    used, before = small_library / "rooms" / "used.py", fresh_hash(small_library)
    plain = used.read_text()
    commented = plain.replace("def f():\n", '"""A module."""\n\n\ndef f():\n    """Return one."""\n    # Late.\n')
    used.write_text(commented)
    assert fresh_hash(small_library) == before
    used.write_text(commented.replace("Return one", "Return x"))
    assert fresh_hash(small_library) == before
    for old, new in [("return x", "return x + 1"), ("return x", 'return "x"'), ("def f():", "def f(x=1):")]:
        used.write_text(plain.replace(old, new))
        assert fresh_hash(small_library) != before
    used.write_text(plain)
    (small_library.parent / "script.py").write_text("# Comment.\nfrom radsynth.rooms.used import f\n")
    assert fresh_hash(small_library) == before
    (small_library.parent / "script.py").write_text("from radsynth.rooms.used import f\nf()\n")
    assert fresh_hash(small_library) != before


def test_outside_choice_of_gpus_is_honoured(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-1234")
    assert visible_gpus() == ["3", "GPU-1234"]
    for hidden in ("", "-1", "-1,0"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert visible_gpus() == []


def test_a_framework_that_cannot_use_the_leased_gpu_is_named(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    confirm_device("torch", False)
    with ExitStack() as stack:
        lease_gpus(1, stack, lock_dir=tmp_path)
        confirm_device("torch", True)
        assert not caplog.records
        confirm_device("tensorflow", False)
        assert "tensorflow cannot use the leased GPU 0" in caplog.text
    with ExitStack() as stack:
        lease_gpus(1, stack, lock_dir=tmp_path, require=True)
        with pytest.raises(UserError, match="^require_gpu: true, but torch cannot use"):
            confirm_device("torch", False)
    confirm_device("torch", False)


def test_two_leases_never_share_a_device(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with ExitStack() as first:
        assert lease_gpus(1, first, lock_dir=tmp_path) == ["0"]
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
        with ExitStack() as second:
            assert lease_gpus(1, second, lock_dir=tmp_path) == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with ExitStack() as both:
        assert lease_gpus(2, both, lock_dir=tmp_path) == ["0", "1"]


def test_a_required_gpu_that_is_missing_is_an_error(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with ExitStack() as stack:
        assert lease_gpus(1, stack) == []
        with pytest.raises(UserError, match="require_gpu"):
            lease_gpus(1, stack, require=True)


def _job_context(tmp_path):
    return stand_in("some_rule", tmp_path / "job.log")


def test_a_user_error_is_one_line_without_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_info, job(_job_context(tmp_path)):
        raise UserError("x.png: broken, expected an image")
    assert exit_info.value.code == 1
    text = (tmp_path / "job.log").read_text()
    assert "x.png: broken, expected an image" in text and "Traceback" not in text
    assert capsys.readouterr().err.splitlines() == ["some_rule: x.png: broken, expected an image"]


def test_an_unforeseen_error_leaves_its_traceback_in_the_log(tmp_path, capsys):
    with pytest.raises(SystemExit), job(_job_context(tmp_path)):
        raise ZeroDivisionError("boom")
    assert "Traceback" in (tmp_path / "job.log").read_text()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_full_disk_does_not_hide_the_error(disk, capfd):
    context = _job_context(disk.folder)
    with disk.full(left=4096), pytest.raises(SystemExit), job(context):
        for _ in range(20):
            logging.getLogger().info("x" * 1000)
        write_text(disk.folder / "table.csv", "x" * 50_000)
    assert re.fullmatch(
        r"some_rule: \S+/table.csv: could not be written \((No space left on device|File too large)\)\n",
        capfd.readouterr().err,
    )
    assert [path.name for path in disk.folder.iterdir()] == ["job.log"]


@pytest.mark.parametrize("write", [write_text, write_json, lambda path, text: np.savez(path, np.zeros(9999))])
def test_a_file_that_does_not_fit_leaves_the_old_one(disk, write):
    path = disk.folder / "x.npz"
    path.write_text("old")
    with disk.full(left=8192), pytest.raises(UserError, match="x.npz: could not be written"):
        if write in (write_text, write_json):
            write(path, "new" * 10_000)
        else:
            with atomic_path(path) as temporary:
                write(temporary, "")
    assert path.read_text() == "old" and list(disk.folder.iterdir()) == [path]


def test_a_folder_that_does_not_fit_leaves_the_old_one(disk):
    old, copied = disk.folder / "model", disk.folder / "from"
    for folder, size in ((old, 1), (copied, 9999)):
        folder.mkdir()
        (folder / "file").write_bytes(bytes(size))
    for fill in (lambda new: (new / "file").write_bytes(bytes(99999)), lambda new: shutil.copytree(copied, new / "x")):
        reason = "No space left on device" if disk.size else "File too large"
        with disk.full(left=4096), pytest.raises(UserError) as caught, atomic_folder(old) as new:
            fill(new)
        assert re.fullmatch(rf"{old}: could not be written \((\[Errno \d+\] )?{reason}[^,]*\)", str(caught.value))
        assert (old / "file").read_bytes() == bytes(1) and sorted(disk.folder.iterdir()) == [copied, old]


def test_a_lock_for_whose_text_there_is_no_room_holds_and_hides_no_error(disk):
    lock = disk.folder / ".lock"
    with disk.full(left=0), pytest.raises(UserError, match=r"x.txt: could not be written"), sole_writer(lock):
        with pytest.raises(UserError, match="still writes here"), sole_writer(lock):
            pass
        write_text(disk.folder / "x.txt", "x" * 10_000)
    assert not list(disk.folder.iterdir())


def test_what_a_killed_process_left_is_replaced(tmp_path):
    child = os.fork()
    if child == 0:
        with atomic_path(tmp_path / "model.keras") as temporary, atomic_folder(tmp_path / "images") as folder:
            temporary.write_text("half")
            (folder / "first").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert not (tmp_path / "model.keras").exists() and not (tmp_path / "images").exists()
    write_text(tmp_path / "model.keras", "whole")
    with atomic_folder(tmp_path / "images") as folder:
        (folder / "second").write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "images"}
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["second"]


def test_progress_reports_the_end(caplog):
    with caplog.at_level("INFO"):
        progress = Progress("training", total=2, every_s=1000)
        progress.update()
        progress.update(note="loss 0.5")
    assert len(caplog.messages) == 1
    assert "step 2/2" in caplog.messages[0] and "loss 0.5" in caplog.messages[0] and "0:00 left" in caplog.messages[0]


def test_rooms_keep_the_frameworks_apart(root: Path):
    """Planning and analysis load neither framework."""
    program = (
        "import sys; import radsynth.study.config, radsynth.common.registry, radsynth.data.downloads, "
        "radsynth.tasks.keras_learner, radsynth.tasks.torch_learner, radsynth.tasks.runs, "
        "radsynth.report.chapter as report; report.chapters(); "
        "sys.exit(int('torch' in sys.modules or 'tensorflow' in sys.modules or 'keras' in sys.modules))"
    )
    scripts = str(root / "workflow" / "scripts")
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": scripts})
