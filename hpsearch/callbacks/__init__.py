"""Callbacks that show a study on W&B or MLflow. Making a callback loads its package."""

from hpsearch.callbacks.mlflow_callback import MLflowCallback
from hpsearch.callbacks.tracking import Tracking
from hpsearch.callbacks.wandb_callback import WandbCallback

__all__ = ["MLflowCallback", "Tracking", "WandbCallback"]
