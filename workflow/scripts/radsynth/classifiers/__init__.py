"""Mixes, Keras classifiers, training and evaluation."""
