"""Orders, nested cohorts, test sets, and the gates against leakage."""
