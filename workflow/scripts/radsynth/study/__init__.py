"""The configuration and what follows from it: paths, targets, inputs, seeds, provenance; results made otherwise."""
