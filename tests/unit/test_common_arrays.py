"""npz files from outside: plain arrays are read, everything else is one line that names the file."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from radsynth.common.arrays import read_arrays
from radsynth.common.errors import UserError


class Marker:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def huge() -> bytes:
    """Return an array file that announces 8 TB."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    return stream.getvalue()


def zipped(path, **members: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)


def refused(path):
    with pytest.raises(UserError, match="x.npz: ") as caught:
        read_arrays(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_plain_arrays_are_read(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(3), b=np.array("text"))
    arrays = read_arrays(tmp_path / "x.npz")
    assert arrays["a"].tolist() == [0, 1, 2] and str(arrays["b"]) == "text"


def test_nothing_is_unpickled(tmp_path):
    marker, path = tmp_path / "unpickled", tmp_path / "x.npz"
    np.savez(path, a=np.array([Marker(marker)], dtype=object))
    assert "without pickles" in refused(path)
    path.write_bytes(pickle.dumps(Marker(marker)))
    assert "without pickles" in refused(path)
    zipped(path, a=pickle.dumps(Marker(marker)))
    assert "a is no array" in refused(path)
    assert not marker.exists()
    np.load(io.BytesIO(pickle.dumps(Marker(marker))), allow_pickle=True)
    assert marker.exists(), "the bait works"


def test_members_are_not_written_anywhere(tmp_path):
    content = io.BytesIO()
    np.save(content, np.arange(2))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("../../outside.npy", content.getvalue())
    read_arrays(tmp_path / "x.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    assert not (tmp_path.parent / "outside.npy").exists() and not (tmp_path.parents[1] / "outside.npy").exists()


@pytest.mark.parametrize("content", [b"", b"no zip", b"\x93NUMPY\x01\x00", "array", "huge"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "x.npz"
    if content == "array":
        with open(path, "wb") as stream:
            np.save(stream, np.arange(3))
    elif content == "huge":
        zipped(path, a__npy=huge())
    else:
        path.write_bytes(content)
    assert "not a readable npz file" in refused(path)
    path.unlink()
    assert "no such file" in refused(path)


def test_a_file_that_is_cut_off_or_changed_is_refused_or_whole(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.arange(50), b=np.eye(4))
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.3 else whole)
        for position in rng.integers(0, max(len(content), 1), rng.integers(0, 4)):
            if content:
                content[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            arrays = read_arrays(path)
        except UserError as error:
            assert "\n" not in str(error)
            continue
        for name, expected in (("a", np.arange(50)), ("b", np.eye(4))):
            assert name not in arrays or np.array_equal(arrays[name], expected)
