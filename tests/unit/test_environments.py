"""The lock file and the conda environments agree, and neither names a machine."""

import re

import pytest
import yaml

# Where a package is called differently on conda-forge.
PYPI_NAMES = {"pytorch": "torch", "tensorflow": "tensorflow-cpu", "matplotlib-base": "matplotlib"}


@pytest.fixture(scope="module")
def locked(root):
    lines = (root / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines)


def test_the_lock_holds_plain_pins_only(root, locked):
    assert len(locked) > 80
    for name, version in locked.items():
        assert re.fullmatch(r"[a-z0-9._-]+", name) and re.fullmatch(r"[0-9][0-9a-z.]*", version), (name, version)


def test_the_lock_holds_what_was_asked_for(root, locked):
    for line in (root / "requirements.in").read_text().splitlines():
        name, *version = line.split("==")
        name = re.split("[<>=]", name)[0]
        assert name in locked and (not version or locked[name] == version[0]), line


def test_conda_environments_pin_the_locked_versions(root, locked):
    environments = list((root / "workflow/envs").glob("*.yaml"))
    assert len(environments) == 4
    for path in environments:
        environment = yaml.safe_load(path.read_text())
        assert environment["channels"] == ["conda-forge", "nodefaults"]
        for pin in environment["dependencies"]:
            name, version = pin.split("=")
            if name != "python":
                assert locked[PYPI_NAMES.get(name, name)] == version, f"{path.name}: {pin}"
