import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(str(workflow.current_basedir)).parent / "scripts"))

from radsynth.common.errors import UserError
from radsynth.common.hashing import sha256_file
from radsynth.common.registry import KINDS
from radsynth.report import chapter
from radsynth.report.archive import archived_tables
from radsynth.report.published import published_files
from radsynth.study.config import Study
from radsynth.study.configfiles import check_file
from radsynth.study.inputs import Inputs
from radsynth.study.plan import ATTACK, CLASSIFIER, COHORT, JUDGEMENT, MODEL, POOL, POOLS, Plan, code, filled, one_of
from radsynth.study.portable import portable, portable_pool
from radsynth.study.resources import asked_memory, check_variables, memory, minutes
from radsynth.study.stale import asked_to_delete, refuse_stale

try:
    for path in workflow.overwrite_configfiles or [Path(workflow.basedir) / "config/config.yaml"]:
        check_file(path)
    STUDY = Study(config)
    # With all defaults, for scripts that look their dataset up.
    config["datasets"] = STUDY["datasets"]
except UserError as error:
    raise WorkflowError(f"configuration: {error}") from None
check_variables(workflow.resource_settings.default_resources)

P = Plan(STUDY)
IN = Inputs(P)
MODIFIER = workflow.modifier  # while this workflow is read, not while its jobs run
refuse_stale(workflow)


wildcard_constraints:
    **P.constraints(),


def placed(path):
    """Return where a path of this workflow lies if another workflow has it as a module with a prefix."""
    return str(MODIFIER.modify_path(path))


def root_of_images(wildcards, input):
    """Return the folder of the dataset whose images a job reads."""
    return str(Path(input.images).parent)


def shows_patients(path, **place):
    """Return a picture of real images, which stands in the report only where the configuration says so."""
    return report(path, **place) if STUDY["report"]["real_images"] else path


def reported(path, name, subcategory):
    """Return a result as it stands in the report, with the caption of its name."""
    place = {"category": "4 Results", "subcategory": subcategory, "labels": {"shows": name}}
    return report(path, caption=f"../report/{name}.rst", **place)
