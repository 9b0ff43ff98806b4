"""Feature extractors behind one interface, and their cached arrays."""
