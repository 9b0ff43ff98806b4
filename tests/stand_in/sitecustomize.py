"""What Python imports at its start in the tests that put this folder on PYTHONPATH.

``RADSYNTH_WITHOUT``: names of packages, with commas between, that cannot be imported. ``RADSYNTH_PRETEND``: every
rule's script writes files of its outputs' names and ends, so that a study takes seconds; its code keeps its hash.
"""

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


class Without:
    """Refuses imports of some packages."""

    names = frozenset(filter(None, os.environ.get("RADSYNTH_WITHOUT", "").split(",")))

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r} (taken away by the test)", name=name)


@contextmanager
def pretended_job(snakemake):
    for output in map(Path, snakemake.output):
        if output.suffix:
            output.write_text(output.name)
        else:
            output.mkdir(exist_ok=True)
            (output / "content").write_text(output.name)
    from radsynth.common import made

    made.write_record(snakemake.rule, dict(snakemake.params.items()), snakemake.input, snakemake.output)
    sys.exit(0)
    yield


sys.meta_path.insert(0, Without())
if os.environ.get("RADSYNTH_PRETEND"):
    module = ModuleType("radsynth.common.job")
    module.job = pretended_job
    sys.modules[module.__name__] = module
