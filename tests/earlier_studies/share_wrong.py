"""An error as it was given for an objective before directions: the earlier version maximized it."""

import numpy as np


def share_wrong(truth: np.ndarray, predicted: np.ndarray) -> float:
    return float((truth != predicted).mean())
