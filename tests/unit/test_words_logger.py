"""What the terminal tells while a study runs: stage, done of total, time left, what went wrong, and Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections import Counter

import pytest
from snakemake_logger_plugin_words import Pace, duration

SNAKEFILE = """
rule all:
    input: expand("{i}.txt", i=range(3))

rule make:
    output: "{i}.txt"
    message: "Making {wildcards.i}"
    shell: COMMAND
"""


@pytest.fixture
def run(root, tmp_path):
    """Start Snakemake with the logger in an empty folder, one job at a time."""

    def start(command):
        (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("COMMAND", repr(command)))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--logger", "words", "--cores", "1"],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(root / "workflow/plugins")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return start


def test_each_job_is_told_with_what_is_done_of_all_and_the_time_left(run):
    process = run("touch {output}")
    said = process.communicate()[0].splitlines()
    assert process.returncode == 0
    assert sorted(line.split(":")[0] for line in said[:3]) == ["Making 0", "Making 1", "Making 2"]
    assert said[0].endswith(": 0 of 4 jobs done"), "nothing to judge the time by"
    assert said[1].endswith(": 1 of 4 jobs done, less than a minute left")
    assert said[2].endswith(": 2 of 4 jobs done, less than a minute left")
    assert said[3:] == ["All 4 jobs done, in less than a minute"]
    again = run("touch {output}").communicate()[0]
    assert again == "Nothing to be done (all requested files are present and up to date).\n"


def test_an_error_is_shown_in_full_and_fails(run):
    process = run("echo what the job says; test {wildcards.i} != 1 && touch {output}")
    said = process.communicate()[0]
    assert process.returncode == 1
    assert "what the job says" in said and "Error in rule make:" in said and "output: 1.txt" in said
    assert "All 4 jobs done" not in said


def test_ctrl_c_stops_as_without_the_logger_and_leaves_no_lock(run):
    process = run("echo begun; sleep 60; touch {output}")
    for line in process.stdout:
        if line == "begun\n":
            break
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the jobs, too
    said = process.communicate(timeout=30)[0]
    assert process.returncode == 1 and "Terminating processes" in said, said
    process = run("touch {output}")
    said = process.communicate()[0]
    assert process.returncode == 0 and "All 4 jobs done" in said, said


def test_the_time_left_follows_from_what_jobs_of_a_rule_took_and_how_many_ran_at_once():
    pace = Pace(Counter(draw=4, train_generator=1), 0)
    assert pace.left(0) is None
    pace.start(1, "draw", 0)
    pace.start(2, "draw", 0)
    pace.finish(1, 10)
    pace.finish(2, 10)
    assert pace.left(10) == pytest.approx((2 * 10 + 25 * 10) / 2), "a training takes as long as 25 others"
    pace.start(3, "train_generator", 10)
    pace.start(4, "draw", 10)
    assert pace.left(15) == pytest.approx((10 + 245 + 5) / 2)
    pace.finish(3, 40)
    assert pace.left(40) == pytest.approx(10 / (80 / 40)), "job 4 takes longer than its like: it must be about to end"
    pace.start(4, "draw", 40)
    assert pace.waiting["draw"] == 1, "started once more"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (12, "less than a minute"),
        (80, "about 1 minute"),
        (171, "about 3 minutes"),
        (5500, "about 92 minutes"),
        (9000, "about 2 hours"),
    ],
)
def test_a_time_in_words(seconds, words):
    assert duration(seconds) == words
