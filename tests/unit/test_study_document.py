"""The reference of keys is written from the schemas."""

from radsynth.study.document import document


def test_the_reference_is_in_step_with_the_schemas(root):
    assert (root / "config" / "README.md").read_text() == document(), "run `make docs`"


def test_every_key_is_explained():
    rows = [line for line in document().splitlines() if line.startswith("| `") and ".yaml" not in line]
    assert len(rows) > 60
    unexplained = [row for row in rows if not row.rstrip("| ").split("|")[-1].strip()]
    assert not unexplained
