"""Is a share above another? One test for all rooms that hold a copy rate against its control."""

from scipy.stats import fisher_exact


def excess_p_value(share: float, n: float, control: float, n_control: float) -> float:
    """Return the one-sided p-value of Fisher's exact test that ``share`` of n lies above ``control`` of n_control."""
    hits, control_hits = round(share * n), round(control * n_control)
    table = [[hits, n - hits], [control_hits, n_control - control_hits]]
    return float(fisher_exact(table, alternative="greater").pvalue)
