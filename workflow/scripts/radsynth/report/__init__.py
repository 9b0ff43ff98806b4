"""Chapters: tidy tables, statistics, tables, figures and words, and archives; needs neither torch nor TensorFlow."""
