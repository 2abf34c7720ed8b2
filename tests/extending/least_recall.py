import numpy as np
from sklearn.metrics import recall_score


def least_recall(truth: np.ndarray, predicted: np.ndarray) -> float:
    """The recall of the class that is found the least."""
    return float(recall_score(truth, predicted, average=None, zero_division=0).min())
