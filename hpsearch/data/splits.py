"""Making folds: scikit-learn splits; here are the choice of a splitter, its seed, and the checks.

Stratified by what the task's judge says: by class, or for several labels a row by the combination of its labels (label
powerset). Groups are never split. A fold that could not be learned from is an error before any training.
"""

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from hpsearch.data.folds import Folds, GivenValidation, Holdout
from hpsearch.data.wording import counted, listed, shortened
from hpsearch.errors import DataError

Pairs = tuple[tuple[np.ndarray, np.ndarray], ...]

_ATTEMPTS = 10
_HOLDOUT_PARTS = 20  # a holdout of whole groups is put together from at most this many parts


@dataclass(frozen=True, eq=False)
class Strata:
    """What folds are stratified by, and what the training rows of each must have.

    Attributes:
        codes: A code a row, from 0, int64, shape (rows,); all the same where nothing is stratified.
        members: Whether row i has class or label j, shape (rows, names). Each must be among the training rows of every
            fold; of shape (rows, 0) nothing must.
        names: What the columns of `members` are called, for errors.
        noun: What they are: "class", "label".
        are_pooled: Whether rare strata are put together, so that no stratum is smaller than the number of folds;
            otherwise strata that are too small are an error.
    """

    codes: np.ndarray
    members: np.ndarray
    names: tuple[Any, ...] = ()
    noun: str = "class"
    are_pooled: bool = False

    @classmethod
    def by(cls, codes: np.ndarray) -> "Strata":
        """Return strata of which none must be in every fold."""
        return cls(np.asarray(codes, np.int64), np.zeros((len(codes), 0), dtype=bool), are_pooled=True)


def make_folds(
    cv: Any, *, strata: Strata, groups: np.ndarray | None = None, seed: int, validation_rows: int = 0
) -> Folds:
    """Return the folds of a study, the same for the same arguments.

    Args:
        cv: The number of folds, a Holdout, a scikit-learn splitter (one that draws without a `random_state` of its
            own is given the study's seed), or GivenValidation.
        strata: What they are stratified by.
        groups: A group a row, shape (rows,); rows of one group are never on both sides of a fold.
        seed: The study's seed.
        validation_rows: How many of the rows, the last ones, GivenValidation holds out.

    Raises:
        DataError: Too few rows or groups of a class for so many folds; a fold without training rows of a class; a
            splitter that does not fit the data.
    """
    rows = _Rows.of(strata, groups)
    if isinstance(cv, GivenValidation):
        every, trained = np.arange(len(rows)), len(rows) - validation_rows
        given: Pairs = ((every[:trained], every[trained:]),)
        _check(given, rows, repr(cv))
        return Folds(given)
    if hasattr(cv, "split") and not isinstance(cv, type | str):
        pairs = _split(cv, rows, seed)
        _check(pairs, rows, type(cv).__name__)
        return Folds(pairs)
    if isinstance(cv, bool) or not isinstance(cv, int | np.integer | Holdout):
        raise DataError(
            f"cv={cv!r} is a {type(cv).__name__}: give a number of folds such as 5, a Holdout such as Holdout(0.2), or "
            "a scikit-learn splitter such as KFold(5)."
        )
    _check_enough(cv, rows)
    failures = []
    for pairs in _candidates(cv, rows, seed):
        try:
            _check(pairs, rows, f"cv={cv}" if isinstance(cv, int | np.integer) else repr(cv))
        except DataError as error:
            failures.append(error)
        else:
            return Folds(pairs)
    raise failures[0]


@dataclass(frozen=True, eq=False)
class _Rows:
    """What splitting looks at: strata, and group codes or None."""

    given: Strata
    groups: np.ndarray | None

    @classmethod
    def of(cls, strata: Strata, groups: np.ndarray | None) -> "_Rows":
        codes = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
        if codes is not None and len(codes) != len(strata.codes):
            raise DataError(f"there are {len(strata.codes)} rows and {len(codes)} groups. Give one group for each row.")
        return cls(strata, codes)

    @property
    def strata(self) -> np.ndarray:
        return self.given.codes

    @property
    def noun(self) -> str:
        return self.given.noun

    def __len__(self) -> int:
        return len(self.strata)

    def pooled(self, least: int) -> np.ndarray | None:
        """Return strata of at least `least` rows each, rare ones pooled into one; None where fewer than two remain."""
        codes, counts = np.unique(self.strata, return_counts=True)
        rarest_first = np.argsort(counts, kind="stable")
        pooled: list[int] = []
        size = 0
        for position in rarest_first:
            # A pool that is still too small takes in the next stratum, however common it is.
            if counts[position] >= least and (not pooled or size >= least):
                break
            pooled.append(int(codes[position]))
            size += int(counts[position])
        strata = np.where(np.isin(self.strata, pooled), -1, self.strata)
        return strata if len(np.unique(strata)) > 1 else None


def _candidates(cv: Any, rows: _Rows, seed: int) -> Iterator[Pairs]:
    """Yield folds from better to worse, all from the seed; the first that passes the checks is taken.

    One draw may put the only two groups (or rows of a rare label) of a class into one fold where the next does not.
    """
    from sklearn import model_selection as splitters

    for attempt in range(_ATTEMPTS):
        state = int(np.random.SeedSequence([seed, attempt]).generate_state(1)[0])
        if rows.groups is not None:
            yield _grouped(cv, rows, rows.groups, state)
            continue
        strata = _strata(cv, rows)
        splitter: Any
        if isinstance(cv, Holdout):
            kind = splitters.ShuffleSplit if strata is None else splitters.StratifiedShuffleSplit
            splitter = kind(n_splits=1, test_size=cv.test_size, random_state=state)
        else:
            kind = splitters.KFold if strata is None else splitters.StratifiedKFold
            splitter = kind(n_splits=int(cv), shuffle=True, random_state=state)
        yield _run(splitter, rows, rows.strata if strata is None else strata)
    if rows.groups is not None and not isinstance(cv, Holdout):
        for attempt in range(_ATTEMPTS):
            state = int(np.random.SeedSequence([seed, _ATTEMPTS + attempt]).generate_state(1)[0])
            yield _run(splitters.GroupKFold(int(cv), shuffle=True, random_state=state), rows, rows.strata)


def _strata(cv: Any, rows: _Rows) -> np.ndarray | None:
    """Return what to stratify by, or None: rare strata are pooled until both sides can have one of each."""
    if not rows.given.are_pooled:
        return rows.strata
    if not isinstance(cv, Holdout):
        return rows.pooled(int(cv))
    smaller_side = int(min(cv.test_size, 1.0 - cv.test_size) * len(rows))
    least = 2
    strata = rows.pooled(least)
    while strata is not None and len(np.unique(strata)) > smaller_side:
        least *= 2
        strata = rows.pooled(least)
    return strata


def _grouped(cv: Any, rows: _Rows, groups: np.ndarray, state: int) -> Pairs:
    """Return stratified folds of whole groups; a holdout is some of many such folds, put together."""
    from sklearn.model_selection import StratifiedGroupKFold

    parts, taken = (int(cv), 1) if not isinstance(cv, Holdout) else _holdout_parts(cv, groups)
    # The splitter refuses when every stratum is smaller than the number of folds; then rows are only kept in groups.
    enough = np.bincount(rows.strata).max() >= parts
    strata = rows.strata if enough else np.zeros(len(rows), dtype=np.int64)
    pairs = _run(StratifiedGroupKFold(parts, shuffle=True, random_state=state), rows, strata)
    if not isinstance(cv, Holdout):
        return pairs
    held_out = np.sort(np.concatenate([pair[1] for pair in pairs[:taken]]))
    return ((np.setdiff1d(np.arange(len(rows)), held_out), held_out),)


def _holdout_parts(holdout: Holdout, groups: np.ndarray) -> tuple[int, int]:
    """Return (parts, parts held out) nearest to the wanted share, with no more parts than there are groups."""
    most = min(len(np.unique(groups)), _HOLDOUT_PARTS)
    shares = {Fraction(taken, parts) for parts in range(2, most + 1) for taken in range(1, parts)}
    best = min(shares, key=lambda share: (abs(float(share) - holdout.test_size), share.denominator))
    return best.denominator, best.numerator


def _split(cv: Any, rows: _Rows, seed: int) -> Pairs:
    """Run the user's splitter on a copy, seeded where it would draw at random without a seed."""
    splitter = copy.deepcopy(cv)
    if getattr(splitter, "random_state", 0) is None and getattr(splitter, "shuffle", True):
        splitter.random_state = seed
    inner = getattr(splitter, "cvargs", None)  # the repeated splitters keep the arguments of the one they repeat
    predefined = getattr(splitter, "test_fold", None)
    if predefined is not None and len(predefined) != len(rows):
        raise DataError(
            f"{type(cv).__name__} assigns {len(predefined)} rows to folds, and there are {len(rows)}. "
            "Give one entry for each row."
        )
    number = (inner or {}).get("n_splits") or getattr(splitter, "n_splits", 2)
    strata = rows.pooled(number) if rows.given.are_pooled and isinstance(number, int) else rows.strata
    return _run(splitter, rows, np.zeros(len(rows), dtype=np.int64) if strata is None else strata)


def _run(splitter: Any, rows: _Rows, strata: np.ndarray) -> Pairs:
    placeholder = np.zeros((len(rows), 1))
    try:
        with warnings.catch_warnings():
            # A class in fewer rows than folds, or groups that a splitter does not read: checked here, as errors.
            warnings.simplefilter("ignore", UserWarning)
            pairs = tuple(splitter.split(placeholder, strata, rows.groups))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        remedy = "Choose fewer folds or another splitter."
        if rows.groups is None and "groups" in str(error):
            remedy = "Set group= on the task."
        elif getattr(splitter, "test_size", None) is not None:
            remedy = "Choose another test_size, or leave out the rarest classes."
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{type(splitter).__name__} cannot split {len(rows)} rows: {reason}. {remedy}") from error
    return tuple(_pair(pair, fold, type(splitter).__name__) for fold, pair in enumerate(pairs))


def _pair(pair: Any, fold: int, origin: str) -> tuple[np.ndarray, np.ndarray]:
    """Return one fold as two arrays of row numbers; DataError where it is none."""
    sides = [np.asarray(side) for side in pair] if isinstance(pair, tuple | list) and len(pair) == 2 else []
    whole = [side.ndim == 1 and (side.dtype.kind in "iu" or side.size == 0) for side in sides]
    if len(sides) != 2 or not all(whole):
        raise DataError(
            f"fold {fold} of {origin} is {shortened(repr(pair))}: a splitter gives for each fold a pair of arrays of "
            "row numbers, (training rows, held-out rows). Correct the splitter."
        )
    return sides[0].astype(np.int64), sides[1].astype(np.int64)


def _check_enough(cv: Any, rows: _Rows) -> None:
    """Raise DataError if no draw at all could give such folds."""
    folds = 2 if isinstance(cv, Holdout) else int(cv)
    if folds < 2:
        raise DataError(f"cv={cv}: cross-validation needs 2 folds or more. For a single split use Holdout(0.2).")
    units = len(rows) if rows.groups is None else len(np.unique(rows.groups))
    noun = "row" if rows.groups is None else "group"
    if units < folds:
        raise DataError(
            f"cv={cv} needs at least {folds} {noun}s, and the data has {units}. Use fewer folds or more data."
        )
    # Stratified folds need a row of the class each; a rare label, and a class in groups, must be in two of them.
    least = folds if rows.groups is None and not rows.given.are_pooled else 2
    for name, members in zip(rows.given.names, rows.given.members.T, strict=True):
        count = int(members.sum()) if rows.groups is None else len(np.unique(rows.groups[members]))
        if count < least:
            alternatives = [f"use cv={count}"] if 2 <= count < folds else []
            alternatives += [f"add {noun}s of that {rows.noun}", f"merge it with another {rows.noun}", "leave it out"]
            raise DataError(
                f"{rows.noun} {name!r} has {counted(count, noun)}, and cv={cv} needs at least {least} of each "
                f"{rows.noun}: "
                f"{', '.join(alternatives[:-1])}, or {alternatives[-1]}."
            )


def _check(pairs: Pairs, rows: _Rows, origin: str) -> None:
    """Raise DataError unless every fold can be learned from and judged on."""
    if not pairs:
        raise DataError(f"{origin} gives no fold at all. Choose another splitter.")
    for fold, (training, held_out) in enumerate(pairs):
        if len(training) == 0 or len(held_out) == 0:
            raise DataError(
                f"fold {fold} of {origin} has {len(training)} training rows and {len(held_out)} held-out rows: each "
                "needs at least one. Use fewer folds."
            )
        chosen = np.concatenate([training, held_out])
        if chosen.min() < 0 or chosen.max() >= len(rows) or len(np.unique(chosen)) < len(chosen):
            raise DataError(
                f"fold {fold} of {origin} has rows twice, on both sides, or outside 0 to {len(rows) - 1}. "
                "Correct the splitter."
            )
        present: list[bool] = np.any(rows.given.members[training], axis=0).tolist()
        lacking = [name for name, has in zip(rows.given.names, present, strict=True) if not has]
        if lacking:
            raise DataError(
                f"the training rows of fold {fold} of {origin} have none of {rows.noun} {listed(lacking)}, which could "
                "not be learned there. Use a splitter that stratifies, fewer folds, or more rows of it."
            )
        _check_groups(fold, training, held_out, rows, origin)


def _check_groups(fold: int, training: np.ndarray, held_out: np.ndarray, rows: _Rows, origin: str) -> None:
    if rows.groups is None:
        return
    shared = np.intersect1d(rows.groups[training], rows.groups[held_out])
    if len(shared):
        raise DataError(
            f"fold {fold} of {origin} has rows of {counted(len(shared), 'group')} on both sides, so that scores "
            "would flatter. Use a splitter that keeps groups whole, such as StratifiedGroupKFold, or leave out group=."
        )
