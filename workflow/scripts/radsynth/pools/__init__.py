"""Kinds of synthetic pools, what each is made with, and the writing of images, manifests and grids."""
