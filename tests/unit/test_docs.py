"""The pages for developers say what is there: files, rules, rooms and their arrows, kinds of the registry, examples."""

import ast
import re

import pytest
from radsynth.common.registry import KINDS
from test_architecture import ROOMS

PAGES = ("docs/architecture.md", "docs/extending.md", "docs/osc.md", "CONTRIBUTING.md")
LIBRARY = "workflow/scripts/radsynth"
# What may be named and is made by others: results, and what users bring.
MADE = ("results/", "resources/raw", "resources/weights/", ".made/")
ENDS = r"\.(py|smk|ya?ml|md|rst|toml|cff|sh|def|lock|in|txt)"
PLACEHOLDER = re.compile(r"(^|/)(NAME|KIND|OWNER)\b")
SKIPPED = {".git", ".venv", ".snakemake", "results", "__pycache__"}
ARROWS = re.compile(r"^ +(\w+)(?:\(\[.*\]\))? -->(?:\|.*\|)? (\w+(?: & \w+)*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def tree(root):
    """All files and folders of the repository, relative to it."""
    found = set()
    for top in root.iterdir():
        if top.name not in SKIPPED:
            found |= {path.relative_to(root) for path in [top, *(top.rglob("*") if top.is_dir() else ())]}
    return {path.as_posix() for path in found if not SKIPPED & set(path.parts)}


def pictures(root) -> list[str]:
    """Return the Mermaid texts of docs/architecture.md: the rooms, then the jobs."""
    found = re.findall(r"```mermaid\n(.*?)```", (root / "docs/architecture.md").read_text(), re.DOTALL)
    assert len(found) == 2
    return found


def arrows_of(picture: str) -> set[tuple[str, str]]:
    return {(one, other) for one, others in ARROWS.findall(picture) for other in others.split(" & ")}


def closure(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return all pairs of which one can be reached from the other."""
    while more := {(a, d) for a, b in arrows for c, d in arrows if b == c} - arrows:
        arrows = arrows | more
    return arrows


def rooms_imported(root) -> set[tuple[str, str]]:
    """Return which room imports which, wherever in a module."""
    found = set()
    for path in (root / LIBRARY).glob("*/**/*.py"):
        room = path.relative_to(root / LIBRARY).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [f"{node.module}.{alias.name}" for alias in node.names] if names else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            parts = [name.split(".") for name in names if name.startswith("radsynth.")]
            found |= {(room, part[1]) for part in parts if part[1] in ROOMS and part[1] != room}
    return found


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_are_there(root, tree, page):
    text = re.sub(r"```.*?```", "", (root / page).read_text(), flags=re.DOTALL)
    wanted = re.findall(r"(?<!`)`([\w./-]+)`(?!`)", text)
    tops = tuple(f"{top.name}/" for top in root.iterdir() if top.is_dir())
    named = [name for name in wanted if re.search(f"{ENDS}$", name) or name.startswith(tops)]
    named = [name for name in named if not name.startswith(MADE) and not PLACEHOLDER.search(name)]
    missing = [name for name in named if not any(f"/{path}".endswith(f"/{name.rstrip('/')}") for path in tree)]
    assert not missing


def test_the_rooms_are_drawn_as_they_import_each_other(root):
    arrows, real = arrows_of(pictures(root)[0]), rooms_imported(root)
    assert {room for arrow in arrows for room in arrow} == set(ROOMS)
    assert not [(one, other) for one, other in arrows if ROOMS.index(one) < ROOMS.index(other)], "upwards"
    assert not arrows - real, "nothing imports so"
    assert not real - closure(arrows), "not drawn"
    page = (root / "docs/architecture.md").read_text()
    assert set(re.findall(r"^\| (\w+) \| [a-z`]", page, re.MULTILINE)) >= set(ROOMS)


def test_the_rules_are_all_drawn(root):
    texts = [path.read_text() for path in (root / "workflow/rules").glob("*.smk")]
    rules = {name for text in texts for name in re.findall(r"^ *rule (\w+):", text, re.MULTILINE)}
    picture = pictures(root)[1]
    drawn = {name for arrow in arrows_of(picture) for name in arrow}
    drawn |= set(re.findall(r"^ +(\w+)$", picture, re.MULTILINE))
    assert drawn - {"raw"} == rules
    targets = re.findall(r"^rule (\w+):", (root / "Snakefile").read_text(), re.MULTILINE)
    told = re.search(r"Targets \((.*?)\)", (root / "docs/architecture.md").read_text(), re.DOTALL)[1]
    assert re.findall(r"`(\w+)`", told) == targets


def test_each_kind_of_the_registry_is_told(root):
    page = (root / "docs/extending.md").read_text()
    assert set(re.findall(r"^\| [a-z ]+ \| `(\w+)` \|", page, re.MULTILINE)) == set(KINDS)


def test_examples_stand_in_the_files_that_they_are_from(root):
    found = re.findall(r"From `([^`]+)`:\n\n```python\n(.*?)```", (root / "docs/extending.md").read_text(), re.DOTALL)
    assert len(found) >= 7 and len(found) == (root / "docs/extending.md").read_text().count("```python")
    for file, example in found:
        lines = iter((root / file).read_text().splitlines())
        missing = [line for line in example.splitlines() if line and line not in lines]
        assert not missing, f"not in {file}, or not in this order"


def test_pages_are_short(root):
    assert len((root / "docs/architecture.md").read_text().splitlines()) < 200
