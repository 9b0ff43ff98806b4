"""What every rule's script begins with: the log file, inputs as they were written, the GPU lease, errors in one line.

And what it ends with: the record of what made its outputs.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from radsynth.common import made
from radsynth.common.errors import UserError
from radsynth.common.gpu import lease_gpus


class _LogFile(logging.FileHandler):
    """A log file whose disk may be full: what does not fit is lost, and does not hide what happened."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


@contextmanager
def job(snakemake: Any) -> Iterator[logging.Logger]:
    """Run the body of a rule's script.

    Everything logged goes to the rule's log file, warnings also to the terminal. A UserError ends the job
    with its one line; any other exception leaves its traceback in the log. Heavy frameworks are
    imported inside the body, after the GPU lease.
    """
    log_file = str(snakemake.log[0])
    handler = _LogFile(log_file, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    terminal.setFormatter(logging.Formatter(f"{snakemake.rule}: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler, terminal], force=True)
    log = logging.getLogger(snakemake.rule)
    with ExitStack() as stack:
        try:
            made.remove_record(snakemake.output)
            made.check_inputs(snakemake.input)
            gpus = snakemake.resources.get("gpu", 0)
            if gpus:
                lease_gpus(int(gpus), stack, require=bool(snakemake.config.get("require_gpu", False)))
            yield log
            if snakemake.output:
                made.write_record(snakemake.rule, dict(snakemake.params.items()), snakemake.input, snakemake.output)
        except UserError as error:
            log.error("%s", error)
            sys.exit(1)
        except Exception as error:
            log.info("%s", traceback.format_exc())
            log.error("%s: %s (the traceback is in %s)", type(error).__name__, error, log_file)
            sys.exit(1)
        log.info("done")
