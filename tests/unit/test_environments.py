"""The lock file and the conda environments agree, and neither names a machine."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, packages_distributions

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from radsynth.common.code import reached_files
from radsynth.common.registry import KINDS

# What the lock file is for.
PYTHONS = ["3.11", "3.12", "3.13"]
# Where a package is called differently on conda-forge.
PYPI_NAMES = {
    "gdcm": "python-gdcm",
    "pytorch": "torch",
    "tensorflow": "tensorflow-cpu",
    "matplotlib-base": "matplotlib",
}
# Where a package on conda-forge is called differently from what is imported.
CONDA_NAMES = {
    "PIL": "pillow",
    "matplotlib": "matplotlib-base",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "torch": "pytorch",
    "yaml": "pyyaml",
}
# What scripts load by name.
EXTRACTOR_MODULES = [entry.module for entry in KINDS["extractors"].values() if not entry.per_cohort]
FAMILY_MODULES = [entry.module for entry in KINDS["families"].values()]
SOURCE_MODULES = [entry.module for entry in KINDS["sources"].values()]
# A learner in torch has the environment of the generators.
KERAS_MODULES = ["radsynth.tasks.keras_learner", "radsynth.tasks.classification"]
LOADED = {
    "download": SOURCE_MODULES,
    "prepare_data": SOURCE_MODULES,
    "describe_data": SOURCE_MODULES,
    "features": EXTRACTOR_MODULES,
    "train_generator": FAMILY_MODULES,
    "select_model": [*FAMILY_MODULES, *EXTRACTOR_MODULES],
    "write_pool": [*FAMILY_MODULES, *(entry.module for entry in KINDS["pools"].values())],
    **dict.fromkeys(("train_classifier", "evaluate", "features_domain"), KERAS_MODULES),
}
# The environments of rules that choose theirs by a configuration key.
CHOSEN = dict.fromkeys(("learner_environment", "environment_of"), ["tensorflow", "keras_torch"])
# Imports that are reached but not used under conda, by environment.
NOT_NEEDED = {
    "tensorflow": {"pytorch": "the other backend of Keras"},
    "keras_torch": {"tensorflow": "the other backend of Keras"},
    "analysis": {"pytorch": "imported by a generator while it trains; the analysis reads what it has written"},
}
# Packages that only other packages import, by environment.
INDIRECT = {
    "tensorflow": {"h5py": "Keras reads and writes weights with it"},
    "keras_torch": {"h5py": "Keras reads and writes weights with it"},
}


@pytest.fixture(scope="module")
def locked(root):
    lines = (root / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines)


def test_the_lock_holds_plain_pins_only(root, locked):
    assert len(locked) > 80
    for name, version in locked.items():
        assert re.fullmatch(r"[a-z0-9._-]+", name) and re.fullmatch(r"[0-9][0-9a-z.]*", version), (name, version)


def test_the_lock_holds_what_was_asked_for(root, locked):
    lines = (root / "requirements.in").read_text().splitlines()
    for line in (line for line in lines if not line.startswith("#")):
        name, *version = line.split("==")
        name = re.split("[<>=]", name)[0]
        assert name in locked and (not version or locked[name] == version[0]), line


def test_conda_environments_pin_the_locked_versions(root, locked):
    environments = list((root / "workflow/envs").glob("*.yaml"))
    assert len(environments) == 5
    for path in environments:
        environment = yaml.safe_load(path.read_text())
        assert environment["channels"] == ["conda-forge", "nodefaults"]
        for pin in environment["dependencies"]:
            name, version = pin.split("=")
            if name != "python":
                assert locked[PYPI_NAMES.get(name, name)] == version, f"{path.name}: {pin}"


def imported(file):
    """Return the top-level names that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    return names


def third_party(script, modules):
    """Return what conda-forge calls the packages that a script and the library behind it import."""
    names = set().union(*map(imported, reached_files(script, *modules)))
    names -= {*sys.stdlib_module_names, "radsynth"}
    return {CONDA_NAMES.get(name, name) for name in names}


def test_every_rule_finds_its_imports_in_its_environment(root):
    """Each environment holds all that its rules import, and nothing that none of them needs."""
    needed = {path.stem: set() for path in (root / "workflow/envs").glob("*.yaml")}
    listed = {}
    for name in needed:
        environment = yaml.safe_load((root / f"workflow/envs/{name}.yaml").read_text())
        listed[name] = {pin.split("=")[0] for pin in environment["dependencies"]}
    scripts = set()
    for path in (root / "workflow/rules").glob("*.smk"):
        found = r'conda:\s+(?:"\.\./envs/|IN\.)(\w+)(?:\.yaml"|\([^\n]*)?$.*?\.\./scripts/(\w+)\.py"'
        rules = re.findall(found, path.read_text(), re.DOTALL | re.MULTILINE)
        assert len(rules) == len(re.findall(r"^ +conda:$", path.read_text(), re.MULTILINE)), path.name
        rules = [(name, script) for choice, script in rules for name in CHOSEN.get(choice, [choice])]
        for environment, script in rules:
            scripts.add(script)
            imported = third_party(root / f"workflow/scripts/{script}.py", LOADED.get(script, []))
            imported -= set(NOT_NEEDED.get(environment, {}))
            missing = imported - listed[environment]
            assert not missing, f"{environment}.yaml lacks {missing}, which {script}.py in {path.name} imports"
            needed[environment] |= imported
    assert scripts == {path.stem for path in (root / "workflow/scripts").glob("*.py")}
    for name in needed:
        assert listed[name] - needed[name] == {"python", *INDIRECT.get(name, {})}, f"{name}.yaml"


@pytest.mark.parametrize(
    ("script", "late"),
    [
        ("pairs", {"lpips", "torchmetrics", "torchvision"}),
        ("prepare_data", {"pydicom", "gdcm"}),
        ("download", {"kagglehub", "pooch"}),
        ("weights", {"pooch"}),
        ("pool_quality", {"scikit-image"}),
        ("train_generator", {"diffusers", "safetensors"}),
    ],
)
def test_imports_inside_functions_and_of_modules_found_by_name_count(root, script, late):
    assert late <= third_party(root / f"workflow/scripts/{script}.py", LOADED.get(script, []))


def test_every_import_of_the_project_is_locked(root, locked):
    """Also those of tests and benchmarks, such as the encoders of DICOM files and the peers."""
    distributions = packages_distributions()
    own = {"radsynth", *(path.stem for path in (root / "tests").rglob("*.py"))}
    own |= {path.stem for path in (root / "benchmarks").rglob("*.py")}
    own |= {path.name for path in (root / "workflow/plugins").iterdir()}
    for file in [
        *(root / "workflow").rglob("*.py"),
        *(root / "tests").rglob("*.py"),
        *(root / "benchmarks").rglob("*.py"),
    ]:
        for name in imported(file) - own - sys.stdlib_module_names:
            found = {re.sub("[-_.]+", "-", package).lower() for package in distributions.get(name, [])}
            assert found & locked.keys(), f"{file.name} imports {name}, which requirements.lock does not bring"


def test_the_lock_resolves_on_every_python(locked):
    """What each locked package asks for on a Python is in the lock, too, and in a version that will do."""
    machines = [{"python_version": python, "python_full_version": f"{python}.0", "extra": ""} for python in PYTHONS]
    for name in locked:
        about = metadata(name)
        allowed = SpecifierSet(about.get("Requires-Python", ""))
        assert all(allowed.contains(machine["python_full_version"]) for machine in machines), name
        for needed in map(Requirement, about.get_all("Requires-Dist") or []):
            other = canonicalize_name(needed.name)
            # torch on PyPI brings kernels for GPUs, which its build for CPUs does without.
            if name == "torch" and re.match("nvidia-|cuda-|triton", other):
                continue
            if not needed.marker or any(map(needed.marker.evaluate, machines)):
                assert other in locked and needed.specifier.contains(locked[other]), f"{name} asks for {needed}"


def test_all_name_the_same_pythons(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    allowed = SpecifierSet(project["requires-python"])
    assert [minor for minor in range(30) if allowed.contains(f"3.{minor}.1")] == [11, 12, 13]
    first, second, third = PYTHONS
    for file in ("README.md", "Makefile"):
        assert f"Python {first}, {second} or {third}" in (root / file).read_text(), file


# A Python, or uv, that runs and notes how it was called; `-m venv` copies it if nothing is there.
FAKE = """#!/bin/sh
echo "${{0##*/}} $*" >> calls
case "$1 $2" in
    "-c "*) exec "{python}" -c "import sys; sys.version_info = ({version}); $2" ;;
    "-m venv") mkdir -p .venv/bin && [ -e .venv/bin/python ] || cp "$0" .venv/bin/python ;;
    "--version ") echo 1.0 ;;
esac
"""
# What pyenv puts on the PATH for a Python that is not switched on.
SHIM = "#!/bin/sh\necho 'command not found' >&2\nexit 127\n"


@pytest.fixture
def make_environment(root, tmp_path):
    """Run make with nothing but these programs on the PATH; return the process and what was called after the choice."""
    for file in ("Makefile", "requirements.lock"):
        shutil.copy(root / file, tmp_path)

    def run(programs, *arguments):
        shutil.rmtree(tmp_path / "path", ignore_errors=True)
        (tmp_path / "path").mkdir()
        for tool in ("mkdir", "cp", "touch"):
            (tmp_path / "path" / tool).symlink_to(shutil.which(tool))
        for name, version in programs.items():
            text = FAKE.format(python=sys.executable, version=version.replace(".", ", ")) if version else SHIM
            (tmp_path / "path" / name).write_text(text)
            (tmp_path / "path" / name).chmod(0o755)
        (tmp_path / "calls").write_text("")
        command = [shutil.which("make"), "--silent", *arguments, ".venv/installed"]
        environment = {"PATH": str(tmp_path / "path")}
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        calls = (tmp_path / "calls").read_text().splitlines()
        return result, [call for call in calls if " -c " not in call and call != "uv --version"]

    return run


PIP = "python -m pip install --disable-pip-version-check --quiet -r requirements.lock"
UV = "uv pip install --python .venv/bin/python --quiet -r requirements.lock"
COMPILED = UV.replace("--quiet", "--compile-bytecode --quiet")


@pytest.mark.parametrize(
    ("programs", "chosen"),
    [
        ({"python3.13": "3.13", "python3.12": "3.12", "python3.11": "3.11"}, "python3.11"),
        ({"python3.11": None, "python3.12": "3.12", "python3": "3.10"}, "python3.12"),
        ({"python3.11": None, "python3.12": None, "python3.13": "3.13"}, "python3.13"),
        ({"python3": "3.12"}, "python3"),
    ],
)
def test_make_takes_a_python_that_is_there(make_environment, tmp_path, programs, chosen):
    result, calls = make_environment(programs)
    assert result.returncode == 0, result.stderr
    assert calls == [f"{chosen} -m venv .venv", PIP] and result.stderr == ""
    assert (tmp_path / ".venv/installed").exists()


@pytest.mark.parametrize(
    ("uv", "arguments", "installs"),
    [("0", [], UV), ("0", ["PYTHONDONTWRITEBYTECODE=1"], COMPILED), (None, [], PIP)],
)
def test_make_installs_with_uv_where_it_runs(make_environment, uv, arguments, installs):
    result, calls = make_environment({"python3.11": "3.11", "uv": uv}, *arguments)
    assert result.returncode == 0, result.stderr
    assert calls == ["python3.11 -m venv .venv", installs]


def test_make_goes_on_with_the_python_that_began(make_environment, tmp_path):
    programs = {"python3.12": "3.12", "uv": "0"}
    make_environment(programs)
    (tmp_path / ".venv/installed").unlink()
    result, calls = make_environment({**programs, "python3.11": "3.11"})
    assert result.returncode == 0 and calls == ["python -m venv .venv", UV.replace("--quiet", "--reinstall --quiet")]
    result, calls = make_environment(programs)
    assert result.returncode == 0 and calls == [], "nothing to do"


@pytest.mark.parametrize(
    ("programs", "arguments", "named"),
    [
        ({}, [], "python3"),
        ({"python3.11": None, "python3.12": None, "python3": "3.10"}, [], "python3"),
        ({"python3": "3.14"}, [], "python3"),
        ({"python3.11": "3.11"}, ["PYTHON=./no_python"], "./no_python"),
    ],
)
def test_make_asks_for_a_python_that_fits(make_environment, tmp_path, programs, arguments, named):
    result, calls = make_environment(programs, *arguments)
    assert result.returncode != 0 and calls == [] and not (tmp_path / ".venv").exists()
    line, failed = result.stderr.splitlines()
    assert line.startswith(f"make: {named} is not Python 3.11, 3.12 or 3.13; install one, or name it")
    assert failed.startswith("make: *** "), "what make itself says of a recipe that failed"
