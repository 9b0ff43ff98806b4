"""Generative models, one file per family behind one interface."""
