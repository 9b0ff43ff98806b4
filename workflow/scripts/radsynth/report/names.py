"""How the metrics of the classifiers are called, in every table, figure and sentence."""

from radsynth.report.tidy import Metrics, study_facts, task_of


def metric_names(metrics: Metrics) -> dict[str, str]:
    """Return the names of all metrics of a study's task, with the class that each is about.

    And of those of classification, which tables and figures name whose rows are of no other task.
    """
    facts = study_facts(metrics)
    return task_of(facts | {"task": "classification"}).titles() | task_of(facts).titles()


def beside(metrics: Metrics) -> tuple[str, ...]:
    """Return the metrics that stand beside the headline metric."""
    return task_of(study_facts(metrics)).beside


def capitalised(text: str) -> str:
    """Return a text with a capital first letter, the others as they are."""
    return text[:1].upper() + text[1:]
