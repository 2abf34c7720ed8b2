"""Callbacks that show a study elsewhere: W&B and MLflow. Each of the two packages loads when its callback is made."""

from hpsearch.callbacks.mlflow_callback import MLflowCallback
from hpsearch.callbacks.tracking import Tracking
from hpsearch.callbacks.wandb_callback import WandbCallback

__all__ = ["MLflowCallback", "Tracking", "WandbCallback"]
