"""Synthetic pools: sampling, writing, manifests and grids."""
