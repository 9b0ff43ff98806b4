"""Distances and memorisation: arrays in, numbers out."""
