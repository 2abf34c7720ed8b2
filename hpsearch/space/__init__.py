"""What may be searched: parameters, conditions, fixed values, TOML files. No torch, no Optuna."""

from hpsearch.space.conditions import Condition, Scalar
from hpsearch.space.grid import Grid
from hpsearch.space.parameters import Categorical
from hpsearch.space.ranges import Float, Int, Parameter
from hpsearch.space.shipped import list_spaces
from hpsearch.space.space import Space

__all__ = ["Categorical", "Condition", "Float", "Grid", "Int", "Parameter", "Scalar", "Space", "list_spaces"]
