"""A whole chapter in one file, as somebody may add it: how many images each integrity report counts."""

from radsynth.report.chapter import Chapter, functions
from radsynth.report.tidy import Tidy, names, numbers

CHAPTER = Chapter(
    metrics={"aside": Tidy(names("label") | numbers("images"))},
    rows=f"{__name__}:rows",
    tables=functions(__name__, "aside_counts"),
    figures=functions(__name__, "aside_bars"),
    headline=f"{__name__}:headline",
    opening=f"{__name__}:opening",
    sentences=f"{__name__}:sentences",
    later=True,
)


def rows(given):
    from radsynth.common.files import read_json

    counts = [read_json(path)["counts"] for path in given.files["integrity"]]
    return {"aside": [{"label": label, "images": n} for count in counts for label, n in count.items()]}


def aside_counts(metrics):
    from radsynth.report.render import number, section

    columns = {"label": lambda row: row["label"], "images": lambda row: number(row["images"])}
    return "Aside", metrics["aside"], [section("Images", metrics["aside"], columns, "As counted.", 1)]


def aside_bars(metrics):
    from radsynth.report.drawing import nothing

    return nothing(f"{metrics['aside']['images'].sum():.0f} images")


def headline(metrics):
    return f"{len(metrics['aside'])} labels"


def opening(metrics):
    return ["An aside."]


def sentences(metrics):
    return ["\n## Aside\n", f"{metrics['aside']['images'].sum():.0f} images were counted."]
