"""GPU hours from benchmark files."""

import numpy as np
import pytest
import yaml
from radsynth.common.errors import UserError
from radsynth.study.config import Study
from radsynth.study.gpu_hours import gpu_hours, gpu_jobs, main


@pytest.fixture
def core(root):
    return yaml.safe_load((root / "config/config.yaml").read_text())


def test_only_what_a_study_measures_with_networks_holds_a_gpu(core):
    def stages(**quality):
        jobs = gpu_jobs(Study(core | {"quality": quality}))
        return {(stage, name) for stage, name in jobs.values() if stage.startswith(("features", "pairs"))}

    resnet = ("features_real", "resnet18_imagenet")
    assert stages(extractors=["pixels"], diversity=["ms_ssim"]) == {resnet}, "samplings and diversity need it"
    assert stages(extractors=["pixels", "domain"], diversity=["lpips"]) == {
        *(resnet, ("features_domain_real", "domain"), ("features_domain_pool", "domain")),
        *(("pairs_real", "lpips"), ("pairs_pool", "lpips")),
    }


def test_one_measured_job_of_each_kind_is_enough(core, tmp_path, monkeypatch, capsys):
    files = {
        "train_generator/kaggle_cxr/random/small/ddpm/NORMAL": 7200,
        "train_generator/kaggle_cxr/greedy/small/ddpm/NORMAL": 3600,
        "evaluate/kaggle_cxr/greedy/imbalanced/pggan/custom_cnn/run_5": 36,
        "evaluate/other/greedy/imbalanced/pggan/custom_cnn/run_5": 999,
    }
    for name, seconds in files.items():
        path = tmp_path / f"results/khazrak2025/benchmarks/{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0\n")
    table = gpu_hours(Study(core), tmp_path / "results/khazrak2025/benchmarks").set_index(["stage", "name"])
    assert table.loc[("train_generator", "ddpm")].tolist() == [4, 2, 90, 6]
    core["generators"]["ddpm"]["gpus"] = 2
    twice = gpu_hours(Study(core), tmp_path / "results/khazrak2025/benchmarks").set_index(["stage", "name"])
    assert twice.loc[("train_generator", "ddpm"), "gpu_hours"] == 12
    assert table.loc[("evaluate", "custom_cnn")].tolist() == [80, 1, 0.6, pytest.approx(0.8)]
    assert np.isnan(table.loc[("judge", "vgg16_pretrained"), "gpu_hours"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "core.yaml").write_text(yaml.safe_dump(core))
    main(["core.yaml"])
    assert "at least 12.80 GPU hours" in capsys.readouterr().out


def test_the_costs_of_an_archive_serve_as_well(core, tmp_path):
    costs = tmp_path / "costs.csv"
    costs.write_text("stage,name,seconds\nwrite_pool,pggan,900\npool_quality,pggan,1\nwrite_pool,ddpm,\n")
    table = gpu_hours(Study(core), costs).set_index(["stage", "name"])
    assert table.loc[("write_pool", "pggan"), "gpu_hours"] == 1
    assert table.loc[("write_pool", "ddpm"), "measured"] == 0


def test_without_measurements_the_place_is_named(core, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "core.yaml").write_text(yaml.safe_dump(core))
    with pytest.raises(UserError, match="^results/khazrak2025/benchmarks: not found"):
        main(["core.yaml"])
