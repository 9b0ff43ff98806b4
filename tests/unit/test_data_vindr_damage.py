"""Damaged tables of VinDr-Mammo: usable images and counted findings, or one line; never another exception."""

import datetime
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from radsynth.common.errors import UserError
from radsynth.data.vindr_standin import TABLES, write_standin
from radsynth.data.vindr_tables import read_tables

#: The same examples in every run. The deadline is for hangs, not for speed.
STABLE = settings(
    derandomize=True,
    database=None,
    deadline=datetime.timedelta(seconds=20),
    suppress_health_check=[HealthCheck.too_slow],
)
CELLS = st.one_of(
    st.sampled_from(["", "nan", "-inf", "1e400", "-1", "0", "99999999999", "BI-RADS 0", "BI-RADS 6", "DENSITY E", "X"]),
    st.sampled_from(
        ["['Mass'", "[[]]", "{}", "['Mass', 3]", "[" * 5000, "()" * 5000, "['Cyst']", "Mass", "\0", "../x"]
    ),
    st.text(max_size=12),
)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A folder to damage, and the bytes of its three tables."""
    folder = tmp_path_factory.mktemp("tables") / "raw"
    write_standin(folder, studies=2, height=128)
    shutil.rmtree(folder / "images")
    return folder, {name: (folder / name).read_bytes() for name in TABLES}


def check(folder, contents):
    """Read the tables, and check that each usable image is what VinDr-Mammo defines."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    try:
        found = read_tables(folder)
    except UserError as error:
        assert str(error).startswith(f"{folder}/") and "\n" not in str(error)
        return
    sources = [row.source for row in found.mammograms]
    assert len(set(sources)) == len(sources) and set(sources) <= found.named
    for row in found.mammograms:
        assert row.birads in range(1, 6) and row.density in "ABCD" and row.split in ("training", "test")
        assert ".." not in row.source
        for box in row.boxes:
            assert 0 <= box.xmin < box.xmax <= row.width and 0 <= box.ymin < box.ymax <= row.height and box.categories
    splits = {(row.study, row.split) for row in found.mammograms}
    assert len(splits) == len({study for study, _ in splits})


@settings(STABLE, max_examples=250)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(TABLES), st.floats(0, 1), st.floats(0, 1), CELLS), min_size=1, max_size=4
    )
)
def test_any_cell_may_hold_anything(tables, changes):
    folder, whole = tables
    damaged = dict(whole)
    for name, row, column, cell in changes:
        lines = damaged[name].decode("utf-8", "surrogateescape").split("\n")
        line = int(row * (len(lines) - 1))
        fields = lines[line].split(",")
        fields[int(column * (len(fields) - 1))] = cell
        lines[line] = ",".join(fields)
        damaged[name] = "\n".join(lines).encode("utf-8", "surrogateescape")
    check(folder, damaged)


@settings(STABLE, max_examples=150)
@given(name=st.sampled_from(TABLES), place=st.floats(0, 1), removed=st.integers(0, 300), put=st.binary(max_size=6))
def test_any_bytes_may_be_lost_or_added(tables, name, place, removed, put):
    folder, whole = tables
    start = int(place * len(whole[name]))
    check(folder, whole | {name: whole[name][:start] + put + whole[name][start + removed :]})
