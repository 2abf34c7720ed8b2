"""A study for those who think in scikit-learn."""

from hpsearch.estimator.estimator import FineTuneSearchCV

__all__ = ["FineTuneSearchCV"]
