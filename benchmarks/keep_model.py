"""Copy what is worth keeping of a trained model: metrics, description and weights in half precision."""

import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file


def main(model: Path, target: Path) -> None:
    """Copy the files of ``model`` (not its resume state, which lies elsewhere) to ``target``."""
    for file in (file for file in model.rglob("*") if file.is_file()):
        kept = target / file.relative_to(model)
        kept.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".safetensors":
            save_file({name: tensor.half() for name, tensor in load_file(file).items()}, kept)
        else:
            shutil.copyfile(file, kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
