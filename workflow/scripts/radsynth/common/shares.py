"""Is a share above another? One test for all rooms that hold a copy rate against its control."""

from bisect import bisect_left

from scipy.stats import fisher_exact


def excess_p_value(share: float, n: float, control: float, n_control: float) -> float:
    """Return the one-sided p-value of Fisher's exact test that ``share`` of n lies above ``control`` of n_control."""
    hits, control_hits = round(share * n), round(control * n_control)
    table = [[hits, n - hits], [control_hits, n_control - control_hits]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def noticeable_share(n: float, control: float, n_control: float, level: float = 0.05) -> float:
    """Return the least share of n that ``excess_p_value`` calls significant at ``level``; infinite if even 1 is not."""
    n = round(n)
    hits = bisect_left(range(n + 1), True, key=lambda k: excess_p_value(k / n, n, control, n_control) < level)
    return hits / n if hits <= n else float("inf")
