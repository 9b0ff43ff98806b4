"""No code reads pickles, runs what it reads, or unpacks archives by itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for folder in ("workflow", "benchmarks") for path in (ROOT / folder).rglob("*.py"))

MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "tarfile", "zipfile", "rarfile"}
# Calls by the last part of their name, and the keywords that make them safe (None: never allowed).
CALLS = {
    **dict.fromkeys(("eval", "exec", "compile", "__import__", "popen")),
    **dict.fromkeys(("read_pickle", "unpack_archive", "extractall", "unsafe_load", "full_load", "load_all")),
    "np.load": {"allow_pickle": False},
    "numpy.load": {"allow_pickle": False},
    "torch.load": {"weights_only": True},
    "UNet2DModel.from_pretrained": {"use_safetensors": True},
    "yaml.load": None,
    "os.system": None,
}
# Keywords that switch a protection off, wherever they are.
KEYWORDS = {"shell": False, "safe_mode": True, "trust_remote_code": False, "allow_pickle": False, "weights_only": True}
ALLOWED = {"re.compile", "torch.compile", "model.compile", "fitted.compile"}


def problems(code: str) -> list[str]:
    """Return what a module does that it must not."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(node.module)
        elif isinstance(node, ast.Call):
            name, given = ast.unparse(node.func), {word.arg: word.value for word in node.keywords}
            for pattern in CALLS.keys() & {name, name.split(".")[-1], ".".join(name.split(".")[-2:])}:
                needed = CALLS[pattern]
                if needed is None and name not in ALLOWED and not name.endswith(".eval"):
                    found.append(name)
                elif needed and any(not _is(given.get(key), value) for key, value in needed.items()):
                    found.append(f"{name} without {needed}")
            found += [
                f"{name}({key}=...)" for key, value in KEYWORDS.items() if key in given and not _is(given[key], value)
            ]
    return found


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path, weights_only=False)",
        "torch.load(path)",
        "yaml.load(text)",
        "yaml.unsafe_load(text)",
        "pd.read_pickle(path)",
        "shutil.unpack_archive(path)",
        "archive.extractall(folder)",
        "eval(text)",
        "subprocess.run(command, shell=True)",
        "keras.saving.load_model(path, safe_mode=False)",
    ],
)
def test_unsafe_code_is_noticed(code):
    assert problems(code)


def test_no_code_is_unsafe():
    assert len(FILES) > 150
    found = {path.relative_to(ROOT).as_posix(): problems(path.read_text(encoding="utf-8")) for path in FILES}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
