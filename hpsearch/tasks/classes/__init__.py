"""Targets that are classes: their labels, their judge, and the metrics of class probabilities."""
