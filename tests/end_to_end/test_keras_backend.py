"""The classifiers' backend is a choice of the configuration, and a GPU that it cannot use is not passed over."""

import os
from types import SimpleNamespace

import pytest
import yaml
from radsynth.common.errors import UserError
from radsynth.study.config import Study
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

STUDY = {
    "study": "tiny",
    "image_size": 32,
    "labels": ["NORMAL", "PNEUMONIA"],
    "datasets": {"phantom": {"source": "phantom", "images": {"NORMAL": 30, "PNEUMONIA": 30}}},
    "samplings": {"random": {"method": "random"}},
    "scenarios": {"small": {"train": {"NORMAL": 12, "PNEUMONIA": 12}}},
    "generators": {},
    "mixes": {"baseline": {"real": True}},
    "classifiers": {"custom_cnn": {"architecture": "custom_cnn", "epochs": 1, "batch_size": 8}},
    "runs": 1,
}
RUN = "results/tiny/classifiers/phantom/random/small/baseline/custom_cnn/run_1"


@pytest.mark.slow
def test_a_gpu_that_the_backend_cannot_use_is_named(checkout, snakemake, tmp_path, monkeypatch):
    """On a machine with a (pretended) GPU, jobs of both backends lease it, and say that their build cannot use it."""
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: Pretended GPU (UUID: GPU-00000000)'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for backend in ("torch", "tensorflow"):
        (checkout / "study.yaml").write_text(yaml.safe_dump(STUDY | {"require_gpu": True, "keras_backend": backend}))
        command = ["--configfile", "study.yaml", "--cores", "1", "--resources", "gpu=1", "--", f"{RUN}/training.json"]
        result = snakemake(checkout, *command)
        assert result.returncode != 0
        expected = (
            f"train_classifier: require_gpu: true, but {backend} cannot use the leased GPU 0: keras_backend: torch"
        )
        assert expected in result.stdout, result.stdout[-3000:]


@pytest.mark.parametrize(
    ("config", "environment"), [("config/config.yaml", "keras_torch"), ("config/demo.yaml", "tensorflow")]
)
def test_the_backend_chooses_the_environment_under_conda(root, tmp_path, monkeypatch, config, environment):
    monkeypatch.chdir(tmp_path)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow_api = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[root / config]),
            snakefile=root / "Snakefile",
        )
        chosen = {rule.name: rule.conda_env for rule in workflow_api._workflow.rules}
    names = ("train_classifier", "evaluate", "judge")
    assert {chosen[name](SimpleNamespace(classifier="custom_cnn")) for name in names} == {f"../envs/{environment}.yaml"}
    assert str(chosen["features_domain_pool"]).endswith(f"envs/{environment}.yaml")


def test_another_backend_is_refused():
    with pytest.raises(UserError, match="^keras_backend: 'jax'"):
        Study(STUDY | {"keras_backend": "jax"})
