"""Mixes of real and synthetic training images, Keras classifiers, their training and their evaluation.

``mixes`` and ``evaluation`` need neither Keras nor a backend. ``backend.prepare`` runs before everything else
that imports Keras.
"""
