"""Raw images in; cohorts, generators, synthetic pools, quality, classifiers, tables, figures and a report out."""

from snakemake.utils import min_version

min_version("9.0")

# A study's own file replaces the core study; Snakemake by itself would merge the two.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/cohorts.smk"
include: "workflow/rules/generators.smk"
include: "workflow/rules/pools.smk"
include: "workflow/rules/quality.smk"
include: "workflow/rules/classifiers.smk"
include: "workflow/rules/privacy.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/check.smk"


report: "workflow/report/workflow.rst"


localrules:
    all,
    data,
    cohorts,
    generators,
    pools,
    quality,
    classifiers,
    privacy,
    figures,


rule all:
    default_target: True
    input:
        P.all_targets(),


rule data:
    input:
        P.data_targets(),


rule cohorts:
    input:
        P.cohort_targets(),


rule generators:
    input:
        P.generator_targets(),


rule pools:
    input:
        P.pool_targets(),
        P.picture_targets(),


rule quality:
    input:
        P.quality_targets(),
        P.fidelity_targets(),
        P.neighbour_targets(),


rule classifiers:
    input:
        P.evaluation_targets(),
        P.kept_classifier_targets(),


rule privacy:
    input:
        P.attack_targets(),


rule figures:
    input:
        P.analysis_targets(),
