"""The reference of all configuration keys, written from the schemas.

``python -m radsynth.study.document`` prints what config/README.md must hold.
"""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from radsynth.common.schema import SCHEMAS, read_schema

INTRODUCTION = """\
# Configuration

One YAML file describes one study. `config.yaml` is the core study, which a bare `snakemake` runs; any other file is
given with `--configfile FILE` and replaces it. Single values can be changed on the command line, for example
`--config runs=10`. Unknown keys, wrong types and contradictions stop the workflow with one line that names the key.

| file | study |
| --- | --- |
| `config.yaml` | the core study (Khazrak et al. 2025): Kaggle chest X-rays, DDPM and PGGAN, four classifiers, GPU |
| `demo.yaml` | a small study of procedural phantoms with DDPM and custom CNN, CPU, minutes |
| `phantom_grid.yaml` | all arms of the core study's grid on phantoms, CPU, half an hour |
| `kaggle_pneumonia.yaml` | paediatric chest X-rays (Kermany et al. 2018) at 64 px, CPU, about two hours |
| `kaggle_imbalanced.yaml` | the same at 32 px, 700 to 100, with other ways to balance, CPU, half an hour |
| `kermany_paper.yaml` | the same images at 128 px with the paper's generators, GPU |
| `kermany_conditional.yaml` | one conditional model beside one per label at 64 px, CPU |
| `busi.yaml` | breast ultrasound with lesion masks at 64 px: conditional diffusion, CPU, half an hour |
| `nih_folder.yaml` | NIH chest X-rays with several images per patient, three draws, CPU, a quarter of an hour |
| `vindr_mammo.yaml` | mammograms (VinDr-Mammo, restricted access) at 256 px, BI-RADS 1-2 against 4-5, GPU |
| `vindr_demo.yaml` | the same at 64 px on procedural mammograms, CPU |

NAME and LABEL stand for names of your own. This page is written from the schemas in `workflow/schemas` by
`make docs`.
"""


def document() -> str:
    """Return the reference as Markdown."""
    config = read_schema("config")
    parts = [INTRODUCTION, "## Keys\n", _table(config, "")]
    for source, schema in read_schema("sources").items():
        parts += [f"\n## Datasets with `source: {source}`\n", _table(schema, "datasets.NAME.")]
    for method, schema in read_schema("selections").items():
        if schema:
            parts += [
                f"\n## Generators with `selection.method: {method}`\n",
                _table(schema, "generators.NAME.selection."),
            ]
    for section in ("pools", "attacks"):
        for path in sorted((SCHEMAS / section).glob("*.schema.yaml")):
            kind = path.name.removesuffix(".schema.yaml")
            own = _table(read_schema(f"{section}/{kind}"), f"{section}.NAME.")
            parts += [f"\n## {section.capitalize()} with `kind: {kind}`\n", own]
    for path in sorted((SCHEMAS / "generators").glob("*.schema.yaml")):
        family = path.name.removesuffix(".schema.yaml")
        parts += [
            f"\n## Generators with `family: {family}`\n",
            _table(read_schema(f"generators/{family}"), "generators.NAME."),
            *_presets(family),
        ]
    return "\n".join(parts) + "\n"


def _table(schema: dict[str, Any], prefix: str) -> str:
    rows = ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
    for key, part, required in _keys(schema, prefix):
        default = "required" if required else f"`{json.dumps(part['default'])}`" if "default" in part else ""
        meaning = " ".join(part.get("description", "").split())
        rows.append(f"| `{key}` | {_values(part)} | {default} | {meaning} |".replace("||", "\\|\\|"))
    return "\n".join(rows)


def _keys(schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    for name, part in schema.get("properties", {}).items():
        key = prefix + name
        yield key, part, name in schema.get("required", [])
        for choice in [part, *part.get("oneOf", [])]:
            yield from _keys(choice, f"{key}.")
            others = choice.get("additionalProperties")
            if isinstance(others, dict) and "properties" in others:
                yield from _keys(others, f"{key}.NAME.")


def _values(part: dict[str, Any]) -> str:
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    if "oneOf" in part:
        return " or ".join(_values(choice) for choice in part["oneOf"])
    kind = part.get("type", "any")
    kind = kind if isinstance(kind, str) else " or ".join(kind)
    bounds = [
        f"{sign} {part[bound]}"
        for bound, sign in [("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")]
        if bound in part
    ]
    return ", ".join([kind, *bounds])


def _presets(family: str) -> list[str]:
    from radsynth.generators.options import read_presets

    # Without references from one preset to another: each can be copied by itself.
    presets = json.loads(json.dumps(read_presets(family)))
    text = yaml.safe_dump(presets, sort_keys=False, default_flow_style=None, width=110)
    return [f"\nPresets of `{family}` (what they do not name has the default above):\n", f"```yaml\n{text}```"]


if __name__ == "__main__":
    print(document(), end="")
