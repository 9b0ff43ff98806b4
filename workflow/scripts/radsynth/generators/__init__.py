"""Generators: one file per family behind one interface, with a shared training loop and checkpoints.

A new family is one module, one line in ``common/registry.py`` (kind ``families``) and one schema:

- The module holds a subclass of ``base.Generator``. Its smallest form is ``learn`` (keep what was learnt in
  ``self.arrays``) and ``draw`` (one image, maybe with a mask, from one random generator and one condition). Families
  that sample in batches override ``sample``; families with their own file layout override ``write`` and ``read``;
  ``losses`` is what attacks on privacy read.
- The class says what planning must know: ``accepts`` (keys of ``common.sets.Conditions`` that it heeds; with ``label``
  one model serves several labels, ``per: all``), ``emits``, ``check``, ``steps``, ``data_parallel``. The module is
  imported when a study is planned, so it imports torch inside methods, or keeps it in companion modules (``denoising``,
  ``adversarial``); the hash of the code follows these imports all the same.
- Families trained step by step in torch derive from ``stepwise.Stepwise``: they bring a task (``step``, ``state_dict``,
  ``load_state_dict``), and ``learning`` brings data order, seeds, checkpoints, resume, metrics and previews.
- ``workflow/schemas/generators/FAMILY.schema.yaml`` describes ``options`` (hyperparameters with type, range, default
  and description) and ``sampler``. Presets, if any, lie beside the module as ``FAMILY.yaml``.

Images have named channels, 1 to 4 (``common.sets.ImageSet``); a generator makes those that it has learnt from unless it
names others in ``channels``. ``options`` resolves and checks what the configuration says; ``training`` is what the rule
calls. ``tests/end_to_end/test_grid.py`` holds two families of twenty lines.
"""
