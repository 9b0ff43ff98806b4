"""What runs again after a change, and what does not. The jobs only pretend to work (tests/stand_in)."""

import re
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from conftest import clone
from snakemake.persistence.file import FilePersistence

STUDY = {
    "study": "two",
    "image_size": 32,
    "labels": ["NORMAL", "PNEUMONIA"],
    "datasets": {"phantom": {"source": "phantom", "images": {"NORMAL": 60, "PNEUMONIA": 60}}},
    "samplings": {"greedy": {"method": "k_center_greedy", "extractor": "pixels"}},
    "scenarios": {"small": {"train": {"NORMAL": 24, "PNEUMONIA": 24}}},
    "generators": {
        "ddpm": {"family": "ddpm", "preset": "cpu"},
        "pggan": {"family": "pggan", "preset": "cpu", "selection": {"method": "iteration", "step": 1500}},
    },
    "pool_size": 12,
    "quality": {"extractors": ["pixels", "domain"], "baseline_draws": 3},
    "mixes": {
        "baseline": {"real": True},
        "ddpm": {"real": True, "pools": {"ddpm": 12}},
        "pggan": {"real": True, "pools": {"pggan": 12}},
    },
    "classifiers": {"custom_cnn": {"architecture": "custom_cnn"}},
    "experts": ["custom_cnn"],
    "keep_classifiers": True,
    "runs": 1,
}
LIBRARY = "workflow/scripts/radsynth"
COLLECTING = {"Collecting the metrics", "Writing the metrics"}
ANALYSIS = {
    "Drawing the tables",
    "Drawing the figures",
    "Writing the summary",
    "Single images too near to training images",
}


@pytest.fixture(scope="module")
def finished(module_checkout, snakemake) -> Path:
    """A checkout with the finished study."""
    write_study(module_checkout, STUDY)
    result = snakemake(module_checkout, "--configfile", "study.yaml", "--cores", "2", pretend=True)
    assert result.returncode == 0, result.stdout[-3000:]
    return module_checkout


def write_study(folder: Path, study: dict) -> None:
    (folder / "study.yaml").write_text(yaml.safe_dump(study))


@pytest.fixture(scope="module")
def planned(snakemake):
    """What Snakemake would do now: the messages of its jobs."""

    def plan(folder: Path) -> set[str]:
        result = snakemake(folder, "--dry-run", "--configfile", "study.yaml", "--cores", "2")
        assert result.returncode == 0, result.stdout[-3000:]
        jobs = re.findall(r"^Job \d+: (.*)$", result.stdout, re.MULTILINE)
        assert bool(jobs) != ("Nothing to be done" in result.stdout)
        assert len(jobs) == len(set(jobs))
        return set(jobs)

    return plan


# An edit of a module that changes what it does, and nothing that a plan asks of it.
CHANGED = ("\nfrom ", "\nimport sys\nfrom ")


@contextmanager
def edited(file: Path, old: str, new: str):
    """Replace a text in a file for a while."""
    before = file.read_text()
    assert before.count(old) >= 1, f"{file.name} has no {old!r}"
    file.write_text(before.replace(old, new, 1))
    try:
        yield
    finally:
        file.write_text(before)


def follows(generator: str) -> set[str]:
    """Return all that has to do with a generator's images, from the pools on."""
    jobs = {f"Original and synthetic {label} images side by side" for label in STUDY["labels"]}
    jobs |= {f"Training custom_cnn on {generator}, greedy/small, run 1"}
    jobs |= {f"Evaluating custom_cnn on {generator}, small, run 1"}
    jobs |= {f"custom_cnn, trained on baseline, judges {generator}"}
    for label in STUDY["labels"]:
        pool = f"the {label} pool of {generator}"
        jobs |= {
            f"Drawing 12 {label} images of the pool {generator}",
            f"Features of {pool} by pixels",
            f"Features of {pool} by the classifier trained on greedy/small",
            f"Pairs of images in {pool}",
            f"Quality of {pool}",
            f"Nearest training images of {pool}",
        }
    return jobs | COLLECTING | ANALYSIS


def trainings(generator: str) -> set[str]:
    return {f"Training {generator} on {label} of greedy/small" for label in STUDY["labels"]}


def selections(generator: str) -> set[str]:
    return {f"Choosing the model of {generator} on {label} of greedy/small" for label in STUDY["labels"]}


@pytest.mark.parametrize("records", [True, False], ids=["with Snakemake's records", "with the results alone"])
def test_a_fresh_clone_over_finished_results_has_nothing_to_do(finished, planned, tmp_path, records):
    """Every file of the clone is younger than the results, which keep their times."""
    fresh = clone(tmp_path / "fresh clone")
    write_study(fresh, STUDY)
    for folder in ["results", ".snakemake"] if records else ["results"]:
        shutil.copytree(finished / folder, fresh / folder)
    assert (fresh / "resources/published/table4.csv").stat().st_mtime > max(
        path.stat().st_mtime for path in (fresh / "results").rglob("*")
    )
    assert planned(fresh) == set()


def test_a_job_that_was_killed_with_snakemake_runs_again_and_stops_no_plan(finished, snakemake, planned, tmp_path):
    """Its outputs were in place, neither its own record nor that of Snakemake was."""
    folder = Path(shutil.copytree(finished, tmp_path / "killed", symlinks=True))
    pool = "results/two/features/pixels/pools/phantom/greedy/small/ddpm/NORMAL.npz"
    (record,) = (folder / pool).parent.glob(".made/NORMAL.npz.json")
    record.unlink()
    begun = FilePersistence(path=folder / ".snakemake")
    begun._delete_record(pool)
    begun._mark_incomplete(pool, None)
    assert "Features of the NORMAL pool of ddpm by pixels" in planned(folder)
    # What plans without running takes no account of jobs that were begun.
    for option in ("--rulegraph", "--summary"):
        result = snakemake(folder, "--configfile", "study.yaml", option)
        assert result.returncode == 0, result.stdout[-3000:]


def test_an_edited_generator_trains_again_with_what_follows_and_nothing_else(finished, planned):
    with edited(finished / LIBRARY / "generators/ddpm.py", *CHANGED):
        assert planned(finished) == trainings("ddpm") | follows("ddpm")
    with edited(finished / LIBRARY / "generators/progressive.py", *CHANGED):
        assert planned(finished) == trainings("pggan") | selections("pggan") | follows("pggan")
    assert planned(finished) == set(), "the edits have been taken back"


def test_a_new_family_trains_none_of_the_others_again(finished, planned):
    registry = finished / LIBRARY / "common/registry.py"
    with edited(registry, '"families": {', '"families": {\n        "third": Entry("radsynth.generators.third:Third"),'):
        assert planned(finished) == set()
    with edited(registry, *CHANGED):
        assert trainings("ddpm") | trainings("pggan") <= planned(finished)


def test_comments_docstrings_and_layout_run_nothing_again(finished, planned):
    with (
        edited(
            finished / "workflow/rules/generators.smk", "rule train_generator:", "# A remark.\nrule train_generator:"
        ),
        edited(finished / "workflow/rules/generators.smk", '    """Train one', '    """Teach one'),
        edited(finished / LIBRARY / "generators/ddpm.py", "\nfrom ", "\n# A remark.\n\nfrom "),
        edited(finished / "workflow/scripts/train_generator.py", '"""', '"""Once again: '),
    ):
        assert planned(finished) == set()


def test_another_look_of_the_pictures_beside_results_runs_nothing_again(finished, planned):
    with ExitStack() as edits:
        for file in (
            "learning/curves.py",
            "generators/previews.py",
            "generators/selection_figure.py",
            "pools/grid.py",
        ):
            edits.enter_context(edited(finished / LIBRARY / file, *CHANGED))
        caption = finished / "workflow/report/grid.rst"
        edits.enter_context(edited(caption, "Synthetic images", "Images that were made"))
        assert planned(finished) == set()
    with edited(finished / LIBRARY / "pools/pictures.py", *CHANGED):
        assert planned(finished) == {f"Original and synthetic {label} images side by side" for label in STUDY["labels"]}
    with edited(finished / LIBRARY / "learning/measured.py", *CHANGED):
        assert trainings("ddpm") | trainings("pggan") <= planned(finished), "what is measured is no picture"


def test_an_edited_classifier_runs_no_generator_again(finished, planned):
    with edited(finished / LIBRARY / "tasks/keras_training.py", *CHANGED):
        jobs = planned(finished)
    pools = {f"the {label} pool of {generator}" for label in STUDY["labels"] for generator in STUDY["generators"]}
    by = "by the classifier trained on greedy/small"
    assert jobs == ANALYSIS | {
        *COLLECTING,
        *(f"Training custom_cnn on {mix}, greedy/small, run 1" for mix in (*STUDY["mixes"], "matched_ddpm")),
        *(f"Evaluating custom_cnn on {mix}, small, run 1" for mix in (*STUDY["mixes"], "matched_ddpm")),
        *(f"custom_cnn, trained on baseline, judges {generator}" for generator in STUDY["generators"]),
        f"Features of phantom {by}",
        *(f"Controls of the {label} pools of small" for label in STUDY["labels"]),
        *(f"Features of {pool} {by}" for pool in pools),
        *(f"Quality of {pool}" for pool in pools),
        *(f"Nearest training images of {pool}" for pool in pools),
    }


def test_an_edited_analysis_draws_again_what_it_draws(finished, planned):
    with edited(finished / LIBRARY / "report/utility_figures.py", *CHANGED):
        assert planned(finished) == {"Drawing the figures"}
    with edited(finished / LIBRARY / "report/utility_rows.py", *CHANGED):
        assert planned(finished) == COLLECTING | ANALYSIS
    with edited(finished / "workflow/scripts/metrics.py", *CHANGED):
        assert planned(finished) == COLLECTING | ANALYSIS
    with edited(finished / "resources/published/table4.csv", "0", "1"):
        assert planned(finished) == {"Drawing the tables"}


def test_another_name_for_the_archive_or_a_comparison_measures_nothing_again(finished, planned):
    write_study(finished, STUDY | {"paper": {"version": "v2"}, "compare": ["two", "three"]})
    try:
        assert planned(finished) == set()
    finally:
        write_study(finished, STUDY)


@pytest.fixture
def not_kept(finished):
    """The finished study without its trained classifiers."""
    models = list((finished / "results/two/classifiers").rglob("model"))
    assert len(models) == 4
    for model in models:
        model.rename(model.with_suffix(".away"))
    yield finished
    write_study(finished, STUDY)
    for model in models:
        model.with_suffix(".away").rename(model)


def test_a_classifier_that_was_not_kept_is_trained_again_only_to_judge_new_images(not_kept, planned):
    write_study(not_kept, STUDY | {"keep_classifiers": False})
    assert planned(not_kept) == set()
    with edited(not_kept / LIBRARY / "generators/ddpm.py", *CHANGED):
        jobs = planned(not_kept)
    again = jobs - trainings("ddpm") - follows("ddpm")
    assert "Training custom_cnn on baseline, greedy/small, run 1" in again
    assert not any("pggan on" in job or "of the pool pggan" in job for job in again), again


def test_classifiers_that_are_to_be_kept_only_now_are_trained_again(not_kept, planned):
    jobs = planned(not_kept)
    assert {job for job in jobs if job.startswith("Training")} == {
        f"Training custom_cnn on {mix}, greedy/small, run 1" for mix in (*STUDY["mixes"], "matched_ddpm")
    }
