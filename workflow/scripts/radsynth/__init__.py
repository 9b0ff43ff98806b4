"""radsynth: do synthetic images help a classifier, how real are they, can they be shared?

Each room (subpackage) can be imported alone; rooms meet in files, and torch and
TensorFlow are never loaded by the same job.
"""

__version__ = "0.1.0"
