"""From raw sources to 8-bit PNGs, a manifest and an integrity report."""
