"""Orders, nested cohorts and the gates against leakage."""
