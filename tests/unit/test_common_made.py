"""The records of what made each result: written, compared with a configuration, and with what is there."""

from pathlib import Path

import pytest
from conftest import stand_in
from radsynth.common import made
from radsynth.common.errors import UserError
from radsynth.common.job import job

PARAMS = {"seed": 3, "options": {"steps": 500, "size": None}, "labels": ["A", "B"], "code": "abc", "of": "results/s/x"}
OUTPUTS = ["results/s/pools/p/images", "results/s/pools/p/manifest.csv", "results/s/pools/p/model", "results/s/t.csv"]


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch, own_logging):
    """The outputs of a job of the rule `draw` and their records, below the working directory."""
    monkeypatch.chdir(tmp_path)
    for folder, file in ((OUTPUTS[0], "1.png"), (OUTPUTS[2], "weights/net.bin"), (OUTPUTS[2], "facts.json")):
        path = Path(folder, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file)
    for table in (OUTPUTS[1], OUTPUTS[3]):
        Path(table).write_text("a\n1\n")
    made.write_record("draw", PARAMS, [], [*OUTPUTS, "resources/weights/net.pth"])


def test_a_record_lies_beside_each_folder_and_nothing_differs():
    records = sorted(str(path) for path in Path("results").rglob(".made/*"))
    assert records == ["results/s/.made/t.csv.json", "results/s/pools/p/.made/images.json"]
    assert made.differences("draw", PARAMS, [], OUTPUTS) == []
    assert made.recorded_param(OUTPUTS[1], "seed") == 3 and made.recorded_param(OUTPUTS[1], "other") is None
    assert made.recorded_param("results/s/pools/p/other", "seed") is None
    made.check_inputs([*OUTPUTS, "resources/weights/net.pth"])


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"seed": 4}, "seed 3, now 4"),
        ({"labels": ["B", "A"]}, 'labels ["A", "B"], now ["B", "A"]'),
        ({"options": {"steps": 9, "size": None}}, "options.steps 500, now 9"),
        ({"options": {"steps": 500}}, "options.size null, now nothing"),
        ({"added": True}, "added nothing, now true"),
        ({"code": "abd"}, "other code"),
        ({"looked_for": "1f"}, "other raw files"),
        ({"labels": [f"label {i}" for i in range(99)]}, "labels"),
    ],
)
def test_each_difference_is_told_in_words(changed, difference):
    assert made.differences("draw", PARAMS | changed, [], OUTPUTS) == [difference]
    assert made.differences("draw", PARAMS | changed, [], ["results/s/not/there.csv", "resources/net.pth"]) == []


def test_paths_below_the_results_do_not_hold_the_name_of_the_study():
    Path("results/s").rename("results/renamed")
    outputs = [output.replace("results/s/", "results/renamed/") for output in OUTPUTS]
    assert made.differences("draw", PARAMS | {"of": "results/renamed/x"}, [], outputs) == []
    assert made.differences("draw", PARAMS | {"of": "results/renamed/y"}, [], outputs)


def test_another_rule_and_no_record_are_differences():
    assert made.differences("train", PARAMS, [], OUTPUTS) == ["made by draw"]
    made.remove_record(OUTPUTS)
    assert made.differences("draw", PARAMS, [], OUTPUTS) == [made.NO_RECORD]
    made.check_inputs(OUTPUTS)  # nothing is known of them


def test_records_of_jobs_that_begin_and_end_meanwhile_are_passed_over():
    folder = Path("results/s/.made")
    (folder / "a.csv.json").symlink_to("vanished.json")
    (folder / ".u.csv.partial.json").write_text((folder / "t.csv.json").read_text())
    made.remove_record(["results/s/u.csv"])
    made.check_inputs(OUTPUTS)
    assert made.differences("draw", PARAMS, [], OUTPUTS) == []
    assert {path.name for path in folder.iterdir()} == {"a.csv.json", ".u.csv.partial.json", "t.csv.json"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"rule": "draw"}', "\0"])
def test_a_record_that_is_none_tells_nothing(content):
    Path("results/s/.made/t.csv.json").write_text(content)
    assert made.differences("draw", PARAMS, [], OUTPUTS) == [made.NO_RECORD]
    made.check_inputs(OUTPUTS)


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("results/s/t.csv", "results/s/t.csv"),
        ("results/s/pools/p/manifest.csv", "results/s/pools/p/manifest.csv"),
        ("results/s/pools/p/model/weights/net.bin", "results/s/pools/p/model/weights/net.bin"),
    ],
)
@pytest.mark.parametrize("content", ["", "a\n2\n"])
def test_a_result_that_was_cut_or_edited_is_named(file, named, content):
    Path(file).write_text(content)
    whole = OUTPUTS[2] if "/model/" in file else file
    with pytest.raises(UserError, match=f"^{named}: not what the job draw has written; delete {whole} to have it"):
        made.check_inputs(OUTPUTS)


def test_a_file_that_was_added_to_a_model_or_taken_from_it_is_named():
    Path(OUTPUTS[2], "more.bin").touch()
    with pytest.raises(UserError, match=r"model/more.bin: not what the job draw has written"):
        made.check_inputs(OUTPUTS)
    Path(OUTPUTS[2], "more.bin").unlink()
    made.check_inputs(OUTPUTS)
    Path(OUTPUTS[2], "facts.json").unlink()
    with pytest.raises(UserError, match=r"model/facts.json: not what the job draw has written"):
        made.check_inputs(OUTPUTS)


def test_inputs_that_were_made_anew_are_a_difference():
    run("next", OUTPUTS, ["results/s/next.csv"])
    assert made.differences("next", PARAMS, OUTPUTS, ["results/s/next.csv"]) == []
    Path(OUTPUTS[2], "weights/net.bin").write_text("other")
    made.write_record("draw", PARAMS, [], OUTPUTS)
    assert made.differences("next", PARAMS, OUTPUTS, ["results/s/next.csv"]) == ["made from another pools/p/model"]
    assert made.differences("next", PARAMS, [OUTPUTS[1]], ["results/s/next.csv"]) == []


def test_outputs_in_another_order_leave_no_record_of_before():
    Path("results/s/x").mkdir()
    run("both", [], ["results/s/x/b.csv", "results/s/x/a.csv"])
    run("both", [], ["results/s/x/a.csv", "results/s/x/b.csv"], content="newer")
    assert [path.name for path in Path("results/s/x/.made").iterdir()] == ["a.csv.json"]
    made.check_inputs(["results/s/x/a.csv", "results/s/x/b.csv"])


def run(rule, inputs=(), outputs=(), fails=False, content="new"):
    with job(stand_in(rule, "log", {"given": list(inputs)}, {"made": list(outputs)}, PARAMS)):
        if fails:
            raise UserError("it fails")
        for output in outputs:
            Path(output).write_text(content)


def test_a_job_records_what_it_made_and_stops_at_inputs_that_are_others(capsys):
    run("next", OUTPUTS, ["results/s/next.csv"])
    assert made.differences("next", PARAMS, OUTPUTS, ["results/s/next.csv"]) == []
    Path(OUTPUTS[1]).write_text("a\n")
    with pytest.raises(SystemExit):
        run("next", OUTPUTS, ["results/s/next.csv"])
    assert "manifest.csv: not what the job draw has written" in capsys.readouterr().err
    assert made.differences("next", PARAMS, OUTPUTS, ["results/s/next.csv"]) == [made.NO_RECORD]


def test_a_job_that_fails_takes_back_what_its_last_run_has_said():
    run("next", OUTPUTS, ["results/s/next.csv"])
    with pytest.raises(SystemExit):
        run("next", OUTPUTS, ["results/s/next.csv"], fails=True)
    assert made.differences("next", PARAMS, OUTPUTS, ["results/s/next.csv"]) == [made.NO_RECORD]


def test_the_line_that_stops_names_few_paths_that_hold_nothing_else():
    stale = {f"results/s/data/d/{file}": ("prepare_data", ["seed 3, now 4"]) for file in ("images", "manifest.csv")}
    follow = ["results/s/generators/a/model", "results/s/metrics/x.csv"]
    kept = ["results/s/generators/b/model", "results/s/summary.md"]
    line = str(made.stop(stale, [*stale, *follow], kept))
    assert line.startswith("results/s/data/d/images and 1 more were not made by this configuration (prepare_")
    assert "delete results/s/data results/s/generators/a results/s/metrics; to keep it" in line and "\n" not in line
    many = [f"results/s/data/d/cohort_{i}/train.csv" for i in range(0, 999)]
    line = str(made.stop(dict.fromkeys(many, ("cohort", list("abcde"))), many, [f"{path}.kept" for path in many]))
    assert "(cohort: a; b; c; ...)" in line and "delete results/s/data; to keep" in line and len(line) < 999
