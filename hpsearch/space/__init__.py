"""What may be searched: parameters, conditions, fixed values, TOML files. No torch, no Optuna."""

from hpsearch.space.alternatives import Alternatives, alternatives_of
from hpsearch.space.conditions import Condition, Scalar
from hpsearch.space.files import list_spaces
from hpsearch.space.grid import Grid
from hpsearch.space.parameters import Categorical, Parameter
from hpsearch.space.ranges import Float, Int
from hpsearch.space.separation import Separation
from hpsearch.space.space import Space

__all__ = [
    "Alternatives", "Categorical", "Condition", "Float", "Grid", "Int", "Parameter", "Scalar", "Separation", "Space",
    "alternatives_of", "list_spaces",
]  # fmt: skip
