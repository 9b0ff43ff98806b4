"""What classifiers learn, and from what: tasks, learners, mixes of real and synthetic images, runs and their worth.

Only what computes imports Keras or torch. ``Learner.prepare`` runs before everything else that imports a framework.
"""
