"""Content hashes of the code behind a rule.

Snakemake does not notice edits in an imported library. Each rule therefore carries the hash of its script and
of every radsynth module that the script reaches, as a parameter. The hash is of what the code does: comments,
docstrings and layout may change without a job being run again. So may pictures that a job draws beside its results.
"""

import ast
import hashlib
import sys
from collections.abc import Collection
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]
# Where a table of this name only says which module a rule loads, and each rule hashes the module that it loads.
TABLES = {LIBRARY / "common/registry.py": "KINDS"}
# What only draws pictures beside the results of long jobs: nobody trains again for another colour.
BESIDE = {
    LIBRARY / file
    for file in (
        "learning/curves.py",
        "generators/previews.py",
        "generators/reconstruction.py",
        "generators/selection_figure.py",
        "pools/grid.py",
    )
}
# Python 3.12 added a field to functions and classes, 3.13 leaves empty ones out: that is no change of the code.
DUMPED = {"show_empty": True} if sys.version_info >= (3, 13) else {}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _module_files(module: str) -> list[Path]:
    """Return the files behind a dotted radsynth name: the module or the package, and its parents."""
    files, path = [], LIBRARY.parent
    for part in module.split("."):
        path = path / part
        if (path / "__init__.py").is_file():
            files.append(path / "__init__.py")
        elif path.with_suffix(".py").is_file():
            files.append(path.with_suffix(".py"))
    return files


def _assigns(node: ast.stmt, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


@cache
def _parsed(file: Path) -> tuple[frozenset[str], str]:
    """Return the radsynth names that a file imports, also inside functions, and the hash of its code."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not (file in TABLES and _assigns(node, TABLES[file]))]
    names = set()
    for node in ast.walk(tree):
        if not getattr(node, "type_params", True):
            del node.type_params
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    own = frozenset(name for name in names if name.split(".")[0] == LIBRARY.name)
    return own, hashlib.sha256(ast.dump(tree, **DUMPED).encode()).hexdigest()


def reached_files(script: str | Path, *modules: str, without: Collection[Path] = ()) -> list[Path]:
    """Return the script, the modules named, and all radsynth files that they import, not through files ``without``.

    ``modules`` are dotted names of what is loaded by name at run time (a generator's family, a data source).
    """
    seen = set(without)
    todo = [Path(script), *(file for module in modules for file in _module_files(module))]
    while todo:
        file = todo.pop()
        if file not in seen:
            seen.add(file)
            todo += [found for name in _parsed(file)[0] for found in _module_files(name)]
    return sorted(seen - set(without))


@cache
def code_hash(script: str | Path, *modules: str) -> str:
    """Return a short hash of the code in ``reached_files`` that makes results, not pictures beside them."""
    digest = hashlib.sha256()
    for file in reached_files(script, *modules, without=BESIDE):
        digest.update(f"{file.name} {_parsed(file)[1]}\n".encode())
    return digest.hexdigest()[:16]
