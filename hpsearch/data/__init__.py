"""Rows in, folds out: sources, labels, audit, splits, and prepared datasets on disk. Nothing here imports torch."""

from hpsearch.data.audit import audit, group_codes, sample_weights
from hpsearch.data.dataset import Dataset, RaggedRows, open_dataset, write_dataset
from hpsearch.data.example_audit import audit_examples
from hpsearch.data.example_reading import examples_of, read_dataset
from hpsearch.data.example_rows import USER_ERRORS
from hpsearch.data.examples import SINGLE, Examples, Field, fields_of
from hpsearch.data.fingerprint import fingerprint_arrays, fingerprint_files, fingerprint_table
from hpsearch.data.folds import Folds, Holdout
from hpsearch.data.images import IMAGE_SUFFIXES, ImageRows, read_images
from hpsearch.data.labels import LabelEncoding, learn_labels
from hpsearch.data.sources import read_table
from hpsearch.data.splits import make_folds

__all__ = [
    "IMAGE_SUFFIXES",
    "SINGLE",
    "USER_ERRORS",
    "Dataset",
    "Examples",
    "Field",
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
    "learn_labels",
    "make_folds",
    "open_dataset",
    "read_dataset",
    "read_images",
    "read_table",
    "sample_weights",
    "write_dataset",
]
