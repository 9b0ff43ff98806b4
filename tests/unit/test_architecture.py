"""The house keeps its form: docs/architecture.md says why."""

import ast
from collections import Counter

import pytest

# From the ground upwards: a room knows those before it alone.
ROOMS = [
    *("common", "learning", "data", "features", "cohorts", "conditions", "quality", "fidelity", "generators"),
    *("tasks", "pools", "privacy", "report", "study", "checking"),
]
LONGEST_FUNCTION, LONGEST_SCRIPT, LONGEST_COMMON = 60, 35, 60
# A longer function says in a comment above it why it is not cut.
EXCUSE = "# long:"


@pytest.fixture(scope="module")
def library(root):
    """The modules of the library by their dotted names below radsynth, as (source, syntax tree)."""
    folder = root / "workflow/scripts/radsynth"
    sources = {
        ".".join(path.relative_to(folder).with_suffix("").parts): path.read_text() for path in folder.rglob("*.py")
    }
    return {name: (source, ast.parse(source)) for name, source in sources.items()}


@pytest.fixture(scope="module")
def imports(library):
    """The modules that every module imports, wherever in it."""
    found = {}
    for name, (_, tree) in library.items():
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
        names = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names} | {n.module for n in nodes}
        found[name] = {module.removeprefix("radsynth.") for module in names} & set(library) - {name}
    return found


def test_rooms_know_those_below_them_alone(imports):
    upward = [
        (module, other)
        for module, others in imports.items()
        for other in others
        if "." in module and ROOMS.index(module.split(".")[0]) < ROOMS.index(other.split(".")[0])
    ]
    assert not upward


def test_no_import_goes_round_in_a_circle(imports):
    left = dict(imports)
    while free := [module for module, others in left.items() if not others & set(left)]:
        for module in free:
            del left[module]
    assert not left, "these import each other"


def test_file_names_are_unique(library):
    counts = Counter(name.split(".")[-1] for name in library)
    assert [name for name, count in counts.items() if count > 1 and name != "__init__"] == []


def test_functions_and_scripts_are_short(root, library):
    long = []
    for name, (source, tree) in library.items():
        lines = source.splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= LONGEST_FUNCTION:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                if not lines[first - 2].strip().startswith(EXCUSE):
                    long.append(f"{name}.{node.name}")
    assert not long
    scripts = {path.name: len(path.read_text().splitlines()) for path in (root / "workflow/scripts").glob("*.py")}
    assert [name for name, count in scripts.items() if count > LONGEST_SCRIPT] == []
    assert len((root / "workflow/rules/common.smk").read_text().splitlines()) <= LONGEST_COMMON
