"""Rows in, folds out: sources, labels, audit, splits, and prepared datasets on disk. Nothing here imports torch."""
