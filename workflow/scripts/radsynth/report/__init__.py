"""Statistics, tables, figures and words; needs neither torch nor TensorFlow."""
