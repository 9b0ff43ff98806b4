"""A thousand broken configurations: each is accepted, or refused in one line that names a key; none is a traceback."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from radsynth.common.errors import UserError
from radsynth.study.config import Study

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {path.name: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "config").glob("*.yaml"))}

# What people write by mistake: YAML's own surprises, wrong types, wrong sizes, names that do not exist.
WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([10**9, 10**30, -0.0, 1e-300, 1e300, float("nan"), float("inf")]),
    st.sampled_from(["", " ", "none", "no such name", "../..", "a/b", "{x}", "{sampling}", "ü", "a\nb", "~", "*", "["]),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.sampled_from(["real", "x", "", "NORMAL", 1, None]), st.integers(-1, 3), max_size=2),
)


def places(value, path=()):
    """Return the paths of all values in a tree of dicts and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in items for place in places(part, (*path, key)))]


@st.composite
def broken(draw):
    """Return a shipped configuration with one to three changes: a value replaced, a key removed, added or renamed."""
    config = copy.deepcopy(CONFIGS[draw(st.sampled_from(sorted(CONFIGS)))])
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(places(config)[1:]))
        target = config
        for key in parents:
            target = target[key]
        change = draw(st.sampled_from(["replace", "remove", "add", "rename"]))
        if change == "replace" or isinstance(target, list):
            target[last] = draw(WRONG)
        elif change == "add":
            target[draw(st.sampled_from(["extra", "Study", "", "labels", "seed", 1, True]))] = draw(WRONG)
        else:
            value = target.pop(last)
            if change == "rename":
                target[f"{last}s"] = value
    return config


@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(broken())
def test_every_configuration_is_accepted_or_refused_in_one_line(config):
    try:
        Study(config)
    except UserError as error:
        message = str(error)
        assert message and "\n" not in message and len(message) < 1000, message


def test_changes_do_break_configurations():
    """Most of what the test above makes must be refused, or it proves nothing."""
    refused = []

    @settings(max_examples=100, deadline=None, derandomize=True, database=None)
    @given(broken())
    def count(config):
        try:
            Study(config)
        except UserError:
            refused.append(config)

    count()
    assert len(refused) >= 60


CHANGES = {
    "labels": [],
    "generators": {"ddpm": {"family": "gan"}},
    "runs": -1,
}


# What any wrong value is told by; which values are wrong is tested without Snakemake.
@pytest.mark.parametrize("key", CHANGES)
def test_the_command_line_says_one_line_and_plans_nothing(key, checkout, snakemake):
    config = CONFIGS["demo.yaml"] | {key: CHANGES[key]}
    (checkout / "broken.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(checkout, "-n", "--configfile", "broken.yaml")
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("configuration: ")]
    assert len(lines) == 1 and key in lines[0], done.stdout
    assert not (checkout / "results").exists()
