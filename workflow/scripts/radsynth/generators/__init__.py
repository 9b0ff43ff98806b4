"""Generators: one file per family behind one interface, with a shared training loop and checkpoints.

A new family is one module, one line in ``common/registry.py`` and one schema:

- The module holds a subclass of ``base.Generator``. Its smallest form is ``learn`` (keep what was learnt in
  ``self.arrays``) and ``draw`` (one image from one random generator and one condition). Families that sample in
  batches override ``sample``; families with their own file layout override ``write`` and ``read``. ``conditional =
  True`` lets one model serve several labels (``per: all``); ``draw`` may return an image and its mask.
- Families trained step by step in torch hand an object with ``step``, ``state_dict`` and ``load_state_dict`` to
  ``loop.train``, which brings data order, seeds, checkpoints, resume, metrics and previews.
- ``workflow/schemas/generators/FAMILY.schema.yaml`` describes ``options`` (hyperparameters with type, range, default
  and description) and ``sampler``. Presets, if any, lie beside the module as ``FAMILY.yaml``.

``options`` resolves presets and overrides without torch; ``training`` is what the rule calls.
"""
