"""Conditions that a user has written down, and what pools do with them."""

import numpy as np
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.sets import Conditions
from radsynth.conditions.lesions import cover
from radsynth.pools.asked import read_conditions
from radsynth.pools.kind import Given, Needs
from radsynth.pools.sampled import Sampled

TABLE = """label,view,boxes,mask_file
A,CC,"[[0.1, 0.2, 0.3, 0.4]]",
B,,,
A,,[],
A,MLO,,m.png
"""


def test_rows_of_a_label_in_their_order(tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    mask[2:4, 5:7] = 2
    Image.fromarray(mask).save(tmp_path / "m.png")
    (tmp_path / "asked.csv").write_text(TABLE)
    rows = read_conditions(tmp_path / "asked.csv", "A", 3).rows
    assert rows[:2] == [
        {"label": "A", "attributes": {"view": "CC"}, "boxes": [[0.1, 0.2, 0.3, 0.4]]},
        {"label": "A", "boxes": []},
    ]
    assert rows[2].keys() == {"label", "attributes", "outlines"}
    assert np.array_equal(cover(rows[2], 8, 8), mask == 2)
    assert read_conditions(tmp_path / "asked.csv", "B", 1).rows == [{"label": "B"}], "nothing is known"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("label\nA\n", "1 rows of A, expected at least the 2 images of the pool"),
        ("view\nCC\n", "column label is missing"),
        ('label,boxes\nA,"[[0.1, 0.2]]"\nA,\n', r"boxes '\[\[0.1, 0.2\]\]', expected \[\[x0, y0, x1, y1\]"),
        ("label,boxes\nA,here\nA,\n", "boxes 'here', expected"),
        ("label,mask_file\nA,plain.png\nA,\n", ""),
        ("label,boxes\nA,5\nA,\n", "boxes '5', expected"),
    ],
)
def test_what_is_no_table_of_conditions_is_refused_in_one_line(tmp_path, table, message):
    (tmp_path / "asked.csv").write_text(table)
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(tmp_path / "plain.png")
    where = rf"{tmp_path}/asked.csv: .*{message}" if message else rf"{tmp_path}/plain.png: a mask without lesion"
    with pytest.raises(UserError, match=f"^{where}"):
        read_conditions(tmp_path / "asked.csv", "A", 2)


class Told:
    """A generator that knows views, and keeps what it was asked."""

    device = "cpu"

    def conditions(self, label, size, seed, kind):
        return Conditions([{"label": label, "kind": kind, "seed": seed}] * size)

    def check_conditions(self, rows, where):
        for row in rows:
            if row.get("attributes", {}).get("view") == "XX":
                raise UserError(f"{where}: view 'XX'")


def given(conditions, *files):
    entry = {"kind": "sampled", "generator": "g", "conditions": conditions}
    return Given(entry, ["A"], {"g": Told()}, {"g": {}}, files=files)


def test_a_pool_needs_the_file_that_it_is_asked_by(tmp_path):
    asked = tmp_path / "asked.csv"
    assert Sampled.needs({"generator": "g", "conditions": "fresh"}) == Needs(models=("g",))
    assert Sampled.needs({"generator": "g", "conditions": str(asked)}) == Needs(models=("g",), files=(str(asked),))
    for kind in ("fresh", "train"):
        assert Sampled().conditions(given(kind), "A", 2, 7).rows[1] == {"label": "A", "kind": kind, "seed": 7}
    asked.write_text("label,view\nA,CC\nA,XX\n")
    assert Sampled().conditions(given(str(asked), asked), "A", 1, 7).rows[0]["attributes"] == {"view": "CC"}
    with pytest.raises(UserError, match=f"^{asked}: view 'XX'"):
        Sampled().conditions(given(str(asked), asked), "A", 2, 7)
