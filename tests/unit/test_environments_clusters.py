"""What conda, pip and containers are told to install, as far as that shows without installing it."""

import re

import pytest
import yaml
from packaging.requirements import Requirement
from rattler import MatchSpec, Version


@pytest.fixture(scope="module")
def locked(root):
    return dict(line.split("==") for line in (root / "requirements.lock").read_text().splitlines())


def test_every_specification_is_one_that_conda_understands(root):
    for path in (root / "workflow/envs").glob("*.yaml"):
        for pin in yaml.safe_load(path.read_text())["dependencies"]:
            spec = MatchSpec(pin)
            name, version = pin.split("=")
            assert spec.name.normalized == name and spec.version == f"{version}.*", f"{path.name}: {pin}"
            assert Version(version)


def test_the_volta_environment_is_the_lock_with_other_builds_of_torch(root, locked):
    """pip finds the versions of the lock in the builds for CUDA 12.6, whose local version satisfies the lock's pins."""
    lines = (root / "requirements-volta.txt").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    assert lines[:2] == ["--extra-index-url https://download.pytorch.org/whl/cu126", "-r requirements.lock"]
    exceptions = [Requirement(line) for line in lines[2:]]
    assert {requirement.name for requirement in exceptions} == {"torch", "torchvision"}
    for requirement in exceptions:
        (pin,) = requirement.specifier
        assert pin.version == f"{locked[requirement.name]}+cu126"
        assert Requirement(f"{requirement.name}=={locked[requirement.name]}").specifier.contains(pin.version)


def test_both_containers_hold_the_locked_environment(root):
    dockerfile = (root / "containers/Dockerfile").read_text()
    definition = (root / "containers/radsynth.def").read_text()
    image = re.search(r"^FROM (\S+)$", dockerfile, re.MULTILINE)[1]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", image), "pinned, and the Python of the lock file"
    assert f"\nFrom: {image}\n" in definition
    commands = [re.findall(r"(?:apt-get|pip) install[^&\n]*", recipe) for recipe in (dockerfile, definition)]
    assert commands[0] == commands[1] and commands[0][-1].endswith("-r /opt/requirements.lock")


def test_without_conda_snakemake_says_what_the_documentation_says(root, snakemake, tmp_path, monkeypatch):
    (tmp_path / "conda").write_text("#!/bin/sh\nexit 127\n")
    (tmp_path / "conda").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    result = snakemake(root, "-n", "-q", "all", "--cores", "1", "--sdm", "conda", "--config", "study=never_run")
    message = re.search(r"\*(Error running conda info\. [^*]+)\*", (root / "docs/osc.md").read_text())[1]
    assert result.returncode != 0 and " ".join(message.split()) in " ".join(result.stdout.split())
