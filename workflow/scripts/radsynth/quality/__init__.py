"""Metrics of a pool against real images, with controls, and memorisation: arrays in, numbers out."""
