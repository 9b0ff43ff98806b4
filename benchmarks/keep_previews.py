"""Copy the grids of those pools that copy no more than held-out real images do."""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.common.files import read_json
from radsynth.common.shares import excess_p_value


def copies(report: dict) -> bool:
    """Whether a pool's quality report shows exact copies, or more near-copies than chance allows."""
    for row in report["metrics"]:
        if row["metric"] == "exact_copy_rate" and row["value"] != 0:
            return True
        if row["metric"] in ("copy_rate", "view_copy_rate"):
            counts = row["value"], row["n_synthetic"], row["control"], row["n_control_a"]
            if None in counts or excess_p_value(*counts) < 0.05:
                return True
    return False


def main(results: Path, target: Path) -> None:
    """Copy ``grid.png`` of every pool below ``results`` that passes."""
    for path in sorted(results.glob("quality/*/*/*/*/*.json")):
        pool = path.relative_to(results / "quality").with_suffix("")
        name = "_".join(pool.parts)
        if copies(read_json(path)):
            print(f"{name}: copies training images, not kept")
        else:
            shutil.copyfile(results / "pools" / pool / "grid.png", target / f"{name}.png")
            print(f"{name}: kept")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
