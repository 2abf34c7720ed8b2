"""Rows in, folds out: sources, labels, audit, splits, and prepared datasets on disk. Nothing here imports torch."""

from hpsearch.data.audit import audit, audit_examples, group_codes, labels_of, sample_weights
from hpsearch.data.dataset import Dataset, RaggedRows, open_dataset, write_dataset
from hpsearch.data.example_reading import USER_ERRORS, examples_of, read_dataset
from hpsearch.data.examples import SINGLE, Examples, fields_of
from hpsearch.data.fingerprint import fingerprint_arrays, fingerprint_files, fingerprint_table
from hpsearch.data.folds import Folds, Holdout
from hpsearch.data.images import ImageRows, read_images
from hpsearch.data.labels import LabelEncoding, learn_labels
from hpsearch.data.sources import read_table
from hpsearch.data.splits import make_folds

__all__ = [
    "SINGLE",
    "USER_ERRORS",
    "Dataset",
    "Examples",
    "Folds",
    "Holdout",
    "ImageRows",
    "LabelEncoding",
    "RaggedRows",
    "audit",
    "audit_examples",
    "examples_of",
    "fields_of",
    "fingerprint_arrays",
    "fingerprint_files",
    "fingerprint_table",
    "group_codes",
    "labels_of",
    "learn_labels",
    "make_folds",
    "open_dataset",
    "read_dataset",
    "read_images",
    "read_table",
    "sample_weights",
    "write_dataset",
]
