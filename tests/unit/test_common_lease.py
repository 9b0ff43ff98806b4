"""Leases on local GPUs between processes: pretended devices, listed by a pretended nvidia-smi."""

import logging
import os
import signal
import subprocess
import sys

import pytest
from conftest import stand_in
from radsynth.common.job import job

# Lease, say which devices, and hold them until standard input ends. A device that is already in use is an error.
HOLDER = """
import logging, os, sys
from contextlib import ExitStack
from pathlib import Path
from radsynth.common.gpu import lease_gpus

logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
with ExitStack() as stack:
    gpus = lease_gpus(int(sys.argv[1]), stack, poll_s=0.02)
    marks = [Path(os.environ["TMPDIR"], f"used_{gpu}") for gpu in gpus]
    for mark in marks:
        mark.touch(exist_ok=False)
    print("holds", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.read()
    for mark in marks:
        mark.unlink()
"""


@pytest.fixture
def machine(tmp_path, root, monkeypatch):
    """A machine with a number of GPUs; returns what starts a job on it."""
    jobs = []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(root / "workflow/scripts"))
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")

    def install(count):
        listing = "\n".join(f"echo 'GPU {i}: Pretended GPU (UUID: GPU-0000000{i})'" for i in range(count))
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{listing}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)

        def start(count=1, **environment):
            process = subprocess.Popen(
                [sys.executable, "-c", HOLDER, str(count)],
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            jobs.append(process)
            return process

        return start

    yield install
    for process in jobs:
        process.kill()
        process.communicate()


def held(process):
    """Return the devices that a job holds, after waiting for them."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("holds "):
            return line.split()[1]
    raise AssertionError("".join(lines))


def waits(process):
    """Wait until a job says that it waits."""
    return "leased, waiting" in process.stdout.readline()


def end(process):
    """Let a job end; fail if it did not end well."""
    assert process.communicate()[0] is not None and process.returncode == 0


def test_jobs_never_share_a_device(machine):
    start = machine(2)
    first, second = start(), start()
    assert {held(first), held(second)} == {"0", "1"}
    others = [start() for _ in range(3)]
    assert all(waits(process) for process in others)
    for process in (first, second):
        end(process)
    # Each of the others finds its device free (HOLDER fails otherwise), and ends on its own.
    for process in others:
        process.stdin.close()
        process.stdin = None
    outputs = [process.communicate(timeout=30)[0] for process in others]
    assert [process.returncode for process in others] == [0, 0, 0], outputs
    assert all("running on GPU" in output for output in outputs)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_job_frees_its_own_device_only(machine, tmp_path, number):
    start = machine(2)
    victim, other = start(), start()
    gpu, kept = held(victim), held(other)
    waiting = start()
    assert waits(waiting)
    (tmp_path / f"used_{gpu}").unlink()
    victim.send_signal(number)
    victim.wait()
    assert held(waiting) == gpu and kept != gpu
    end(other)
    end(waiting)


def test_devices_chosen_outside_are_honoured(machine):
    start = machine(4)
    assert {held(start(CUDA_VISIBLE_DEVICES="2,3")), held(start(CUDA_VISIBLE_DEVICES="2,3"))} == {"2", "3"}
    assert waits(start(CUDA_VISIBLE_DEVICES="3"))
    assert held(start()) == "0", "devices that are leased under their number are taken for those who see all"
    assert held(start(CUDA_VISIBLE_DEVICES="GPU-00000001")) == "GPU-00000001"


def test_a_job_for_two_devices_takes_both_or_none(machine):
    start = machine(2)
    first = start()
    held(first)
    both = start(2)
    assert waits(both)
    second = start()
    assert held(second) == "1", "a job that waits for two holds none"
    end(first)
    end(second)
    assert held(both) == "0,1"
    assert waits(start())
    output = start(3).communicate()[0]
    assert "the job asks for 3 GPUs, but only 2 are visible: 0, 1" in output


def test_a_rule_that_asks_for_two_devices_gets_two(machine, tmp_path, monkeypatch):
    machine(2)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    rule = stand_in("train_generator", tmp_path / "job.log", resources={"gpu": 2})
    level = logging.root.level
    with job(rule):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    logging.root.setLevel(level)
    assert "running on GPU 0,1" in (tmp_path / "job.log").read_text()


def test_slurm_jobs_count_their_own_devices(machine, tmp_path):
    """Two SLURM jobs on one node see different devices, each as number 0; jobs within one share its devices."""
    start = machine(2)
    assert held(start(CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID="7")) == "0"
    assert waits(start(CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID="7"))
    (tmp_path / "used_0").unlink()
    assert held(start(CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID="8")) == "0"
