"""What hpsearch uses of other packages that these do not promise: each is still there, and what to do when it goes.

Such a name may change in any release. When a test here fails after an upgrade, its message says which module uses the
name, and what to do instead. A use that is not listed here fails, too.
"""

import ast
import dataclasses
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import hpsearch

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:.*constraints_func:FutureWarning"),
]

PACKAGE = Path(hpsearch.__file__).parent


@dataclass(frozen=True)
class Private:
    """Names of another package that are not public.

    Attributes:
        package: The package, as it is installed.
        uses: Module to the names that it uses.
        is_there: Whether the names are there and mean what is relied on.
        otherwise: What to do when they are not.
    """

    package: str
    uses: Mapping[str, tuple[str, ...]]
    is_there: Callable[[], bool]
    otherwise: str


def _scorers_tell_their_function() -> bool:
    from sklearn.metrics import fbeta_score, get_scorer, make_scorer

    made: Any = make_scorer(fbeta_score, greater_is_better=False, beta=2.0)
    told = made._score_func is fbeta_score and made._kwargs == {"beta": 2.0} and made._sign == -1
    return told and made._response_method == "predict" and get_scorer("f1_macro")._kwargs["average"] == "macro"


def _scorers_of_regression_are_told_apart() -> bool:
    from sklearn.metrics import get_scorer

    modules = [get_scorer(name)._score_func.__module__ for name in ("r2", "rand_score", "f1_macro")]
    others = ("sklearn.metrics._regression", "sklearn.metrics.cluster")
    return [module.startswith(others) for module in modules] == [True, True, False]


def _scores_of_a_corpus_come_from_sums_over_rows() -> bool:
    from sacrebleu.metrics import BLEU, CHRF

    texts, references = ["the cat sat on a mat", "two dogs ran"], ["the cat sat on the mat", "two dogs run"]
    for scorer in (BLEU(), CHRF()):
        rows: list[list[int]] = scorer._extract_corpus_statistics(texts, [references])
        sums = [int(sum(column)) for column in zip(*rows, strict=True)]
        if scorer._compute_score_from_stats(sums).score != scorer.corpus_score(texts, [references]).score:
            return False
    return True


def _random_states_are_found_in_samplers() -> bool:
    import optuna
    from optuna.samplers._lazy_random_state import LazyRandomState

    for kind in (optuna.samplers.RandomSampler, optuna.samplers.TPESampler, optuna.samplers.GPSampler):
        states = [value for value in vars(kind(seed=1)).values() if isinstance(value, LazyRandomState)]
        if not states or states[0]._rng is None or not hasattr(states[0], "rng"):
            return False
    return LazyRandomState()._rng is None


def _a_partial_sampler_tells_what_it_fixes() -> bool:
    import optuna

    sampler: Any = optuna.samplers.PartialFixedSampler({"x": 1}, optuna.samplers.RandomSampler())
    return bool(sampler._fixed_params == {"x": 1})


def _samplers_tell_their_constraints() -> bool:
    import optuna

    def constraints(_: Any) -> list[float]:
        return [0.0]

    samplers = [optuna.samplers.TPESampler, optuna.samplers.GPSampler]
    return all(kind(constraints_func=constraints)._constraints_func is constraints for kind in samplers)


def _points_of_a_sequence_are_counted_as_we_count_them() -> bool:
    import optuna

    sampler: Any = optuna.samplers.QMCSampler(seed=1, scramble=True)
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, sampler=sampler)
    for _ in range(3):
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        study.tell(trial, 0.0)
    parameters = list(inspect.signature(optuna.samplers.QMCSampler._find_sample_id).parameters)
    counted = {key: value for key, value in storage.get_study_system_attrs(0).items() if key.startswith("qmc:")}
    return sampler._seed == 1 and parameters == ["self", "study", "search_space"] and list(counted.values()) == [1]


def _a_patient_pruner_tells_whom_it_asks() -> bool:
    import optuna

    inner = optuna.pruners.NopPruner()
    return optuna.pruners.PatientPruner(inner, patience=1)._wrapped_pruner is inner


def _a_threshold_pruner_tells_its_bounds_and_is_asked_about_them() -> bool:
    import optuna

    pruner: Any = optuna.pruners.ThresholdPruner(lower=0.0, upper=1.0)
    bounds = pruner._lower, pruner._upper
    pruner._lower, pruner._upper = 2.0, 3.0
    study = optuna.create_study()
    trial = study.ask()
    trial.report(0.5, 1)
    return bounds == (0.0, 1.0) and bool(pruner.prune(study, study.trials[0]))


def _tables_are_read_as_optuna_reads_them() -> bool:
    import optuna

    from hpsearch.records import TrialState
    from hpsearch.records.optuna_reading import read_direction, read_study_id, read_trials

    storage = optuna.storages.RDBStorage("sqlite://")
    study = optuna.create_study(storage=storage, study_name="a study", direction="maximize")
    other = optuna.create_study(storage=storage, study_name="another")
    for values in ((float("nan"), 0.5, float("inf")), (1.0, float("-inf"), 2.0)):
        for written in (study, other):
            trial = written.ask()
            trial.suggest_float("rate", 1e-3, 1.0, log=True)
            trial.suggest_int("layers", 1, 9)
            trial.suggest_categorical("kind", ["a", None, 3])
            trial.set_user_attr("config", {"rate": values[1] if values[1] == 0.5 else 1})
            for step, value in enumerate(values):
                trial.report(value, step)
            written.tell(trial, values[2])
    study.ask()
    number = read_study_id(storage.engine, "a study")
    read, theirs = read_trials(storage.engine, number), study.get_trials()
    same = [repr(dataclasses.astuple(trial)) for trial in read] == [
        repr(
            (
                trial._trial_id,
                trial.number,
                TrialState[trial.state.name],
                trial.values[0] if trial.values else None,
                trial.params,
                trial.user_attrs,
                trial.system_attrs,
                trial.intermediate_values,
            )
        )
        for trial in theirs
    ]
    one = read_trials(storage.engine, number, theirs[1]._trial_id)
    return same and one == read[1:2] and read_direction(storage.engine, number) == study.direction.name.lower()


def _tables_are_written_as_optuna_writes_them() -> bool:
    """One study is written by Optuna and another by us: all rows are the same, but for ids and times."""
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.trial import TrialState as OptunaState

    from hpsearch.records import TrialState
    from hpsearch.records.optuna_writing import Change, write_change, write_trial

    kinds = {
        "rate": FloatDistribution(1e-3, 1.0, log=True),
        "size": IntDistribution(1, 8),
        "kind": CategoricalDistribution(("a", None, 3)),
    }
    params = {"rate": 0.25, "size": 3, "kind": None}
    ends = [(TrialState.COMPLETE, 0.5), (TrialState.COMPLETE, float("inf")), (TrialState.PRUNED, None)]
    ends += [(TrialState.FAIL, None), (TrialState.WAITING, None)]
    theirs, ours = (optuna.storages.RDBStorage("sqlite://") for _ in range(2))
    for storage in (theirs, ours):
        optuna.create_study(storage=storage, direction="maximize")
    for state, value in ends:
        template = optuna.trial.create_trial(
            state=OptunaState.RUNNING, params=params, distributions=kinds, user_attrs={"config": params},
            system_attrs={"a": [1, None], "b": "text"},
        )  # fmt: skip
        trial = theirs.create_new_trial(1, template)
        for step, report in ((1, 0.5), (2, float("nan")), (1, 0.25), (3, float("-inf"))):
            theirs.set_trial_intermediate_value(trial, step, report)
        for text in ("earlier", "later"):
            theirs.set_trial_user_attr(trial, "reason", text)
        theirs.set_trial_state_values(trial, OptunaState[state.name], None if value is None else [value])
        with ours.engine.begin() as connection:
            identity, number = write_trial(connection, 1, params, kinds, template.user_attrs, template.system_attrs)
            write_change(connection, identity, Change({1: 0.5, 2: float("nan")}, {"reason": "earlier"}))
            change = Change({1: 0.25, 3: float("-inf")}, {"reason": "later"}, state, value)
            write_change(connection, identity, change)
        if (identity, number) != (trial, trial - 1):
            return False
    return _rows_of(theirs) == _rows_of(ours)


def _rows_of(storage: Any) -> dict[str, list[Any]]:
    """Return the rows of all tables of trials, each time as whether there is one."""
    from sqlalchemy import inspect, text

    found = {}
    with storage.engine.connect() as connection:
        for table in inspect(connection).get_table_names():
            if table.startswith("trial"):
                rows = connection.execute(text(f"select * from {table}")).mappings()
                found[table] = [
                    {name: value is not None if name.startswith("datetime") else value for name, value in row.items()}
                    for row in rows
                ]
    return found


def _models_tell_their_attention() -> bool:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    return bool(BertModel(BertConfig(vocab_size=8, **sizes)).config._attn_implementation in ("sdpa", "eager"))


def _parameters_that_were_drawn_are_marked() -> bool:
    import transformers

    folder = Path(inspect.getfile(transformers)).parent
    return "_is_hf_initialized" in (folder / "modeling_utils.py").read_text(encoding="utf-8")


def _the_compiler_has_its_switch() -> bool:
    import torch

    source = inspect.getsource(torch.use_deterministic_algorithms)
    return "torch._inductor" in source or "inductor_config" in source


def _figures_draw_themselves_in_notebooks() -> bool:
    import plotly.graph_objects as go

    return hasattr(go.Figure, "_repr_mimebundle_") and hasattr(go.Figure, "_repr_html_")


def _ray_finds_its_cluster_and_tells_which_nodes_leave() -> bool:
    """That nodes that leave are told of is shown with real ones in tests/runtime/test_ray_pool.py."""
    import ray

    found = ray._private.services.canonicalize_bootstrap_address("192.0.2.7:6379")
    told = callable(ray._private.state.state.get_draining_nodes) and ray._private.worker._worker_logs_enabled
    return bool(found == "192.0.2.7:6379" and told)


LISTED = {
    "scorers": Private(
        "scikit-learn",
        {
            "metrics/known.py": ("_score_func", "_kwargs", "_sign", "_response_method"),
            "metrics/metric.py": ("_score_func", "_kwargs", "_sign"),
            "metrics/resolving.py": ("_score_func",),
            "tasks/classes/confusion.py": ("_score_func", "_kwargs", "_sign", "_response_method"),
            "tasks/classes/metric.py": ("_score_func", "_kwargs", "_response_method"),
            "tasks/classes/positive.py": ("_score_func", "_kwargs", "_sign", "_response_method"),
        },
        _scorers_tell_their_function,
        "In confusion.py let `confusion_metric` return None: the bootstrap then calls the metric for each resample, "
        "slower and with equal numbers. In metric.py take names and settings from `repr(scorer)`.",
    ),
    "kinds of scorers": Private(
        "scikit-learn",
        {"metrics/known.py": ("_score_func", "sklearn.metrics._regression")},
        _scorers_of_regression_are_told_apart,
        "Write the names of the scorers of numbers and of clusterings out in `measures` (scikit-learn's documentation "
        "lists them by kind).",
    ),
    "random states": Private(
        "optuna",
        {"policy/optuna_sampler.py": ("_lazy_random_state", "_rng")},
        _random_states_are_found_in_samplers,
        "In `reseeding`, find the new place of the random states. Until then refuse sampler objects in "
        "`samplers.py`: the named samplers are made with a seed and need none of this.",
    ),
    "fixed parameters": Private(
        "optuna",
        {"policy/samplers.py": ("_fixed_params",)},
        _a_partial_sampler_tells_what_it_fixes,
        "Drop `_check_fixed`: a fixed value outside the space is then found at the first proposal only.",
    ),
    "constraints": Private(
        "optuna",
        {"policy/samplers.py": ("_constraints_func",)},
        _samplers_tell_their_constraints,
        "`constraints_func` is deprecated. Once it is gone, drop the check in `_refuse_lost_state`.",
    ),
    "quasi-random points": Private(
        "optuna",
        {"policy/optuna_sampler.py": ("_seed", "_find_sample_id")},
        _points_of_a_sequence_are_counted_as_we_count_them,
        "Draw the points of `QuasiRandomSampler` from `scipy.stats.qmc.Sobol` with `fast_forward`, and refuse "
        "QMCSampler objects. `StudyAttributes` in projection.py counts points under the key 'qmc:', too.",
    ),
    "patient pruners": Private(
        "optuna",
        {"policy/pruners.py": ("_wrapped_pruner",)},
        _a_patient_pruner_tells_whom_it_asks,
        "Refuse PatientPruner in `_require_memoryless`, unless another way shows which pruner it asks.",
    ),
    "thresholds of values": Private(
        "optuna",
        {"policy/pruners.py": ("_lower", "_upper")},
        _a_threshold_pruner_tells_its_bounds_and_is_asked_about_them,
        "Refuse ThresholdPruner where the objective is minimized; `_mirrored` turns its bounds over.",
    ),
    "tables": Private(
        "optuna",
        {"records/optuna_reading.py": ()},
        _tables_are_read_as_optuna_reads_them,
        "Read trials with `storage.get_all_trials`, which takes four times as long, and list studies by `read`.",
    ),
    "rows": Private(
        "optuna",
        {"records/optuna_writing.py": ("_rdb",)},
        _tables_are_written_as_optuna_writes_them,
        "Write trials with `storage.create_new_trial` and the storage's setters: 2 ms a value instead of 2 ms a trial.",
    ),
    "text metrics": Private(
        "sacrebleu",
        {"tasks/generation/corpus.py": ("_extract_corpus_statistics", "_compute_score_from_stats")},
        _scores_of_a_corpus_come_from_sums_over_rows,
        "In corpus.py, compute a corpus by `corpus_score`, and let `TokenMetric.on_draws` return None for these names: "
        "a bootstrap then scores each draw anew, which takes minutes.",
    ),
    "attention": Private(
        "transformers",
        {"tasks/pretrained.py": ("_attn_implementation",)},
        _models_tell_their_attention,
        "In `attention_of`, use what the config offers instead. The name is part of the numerics and of the run keys, "
        "so it must stay the same for a study to be continued.",
    ),
    "drawn parameters": Private(
        "transformers",
        {"tasks/heads.py": ("_is_hf_initialized",)},
        _parameters_that_were_drawn_are_marked,
        "In heads.py, find how transformers marks parameters that need no drawing; without a mark a head is drawn "
        "twice, and scores change.",
    ),
    "compiler": Private(
        "torch",
        {"training/numerics.py": ("torch._inductor.config",)},
        _the_compiler_has_its_switch,
        "In `_set_deterministic`, call `torch.use_deterministic_algorithms` alone: the same numbers, a second more at "
        "the start of each worker.",
    ),
    "notebooks": Private(
        "plotly",
        {"report/theme.py": ("_repr_mimebundle_",)},
        _figures_draw_themselves_in_notebooks,
        "Drop the method in theme.py: figures then show in notebooks with plotly's own settings.",
    ),
    "clusters": Private(
        "ray",
        {"runtime/pools/ray_connection.py": ("_private", "_worker_logs_enabled")},
        _ray_finds_its_cluster_and_tells_which_nodes_leave,
        "In `_found`, give ray.init the address 'auto': a cluster that does not answer is then waited for for minutes. "
        "Let `Cluster.draining` return nothing: nodes that announce their end are used up to it. Drop "
        "`_say_what_ray_says`: Ray then prints dozens of lines where a node dies.",
    ),
}

PUBLIC_OR_UNUSED = {
    "_asdict": "a named tuple's, public",
    "_name_": "an enum member's, public",
    "_value_": "an enum member's, public",
    "_fields": "a named tuple's, public",
    "_exit": "os._exit is public",
    "_current_frames": "sys._current_frames is public",
    "_abc_": "a prefix of attributes that are left out of a digest; none is read",
    "_name_or_path": "a key that is left out of a digest; none is read",
}
"""Names with an underscore that are public, or not used."""


@pytest.mark.parametrize("name", LISTED)
def test_what_is_used_of_another_package_is_still_there(name: str) -> None:
    private = LISTED[name]
    if private.package == "ray" and importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: nothing shows that what is used of it is there")
    try:
        is_there = private.is_there()
    except (AttributeError, ImportError, TypeError) as error:
        is_there, reason = False, f" ({error})"
    else:
        reason = ""
    used = "; ".join(f"hpsearch/{module} uses {', '.join(names)}" for module, names in private.uses.items())
    assert is_there, (
        f"{private.package} {version(private.package)} has changed what it does not promise{reason}: {used}. "
        f"{private.otherwise}"
    )


def test_the_list_is_whole() -> None:
    """Every name with an underscore that is not defined in hpsearch is listed above, and what is listed is used."""
    listed: dict[str, set[str]] = {}
    for private in LISTED.values():
        for module, names in private.uses.items():
            listed.setdefault(module, set()).update(names)
    trees = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
    own = {name for tree in trees.values() for name in _defined(tree)} | set(PUBLIC_OR_UNUSED)
    for module, tree in trees.items():
        used = set(_private_names(tree))
        unlisted = used - own - listed.get(module, set())
        assert not unlisted, f"hpsearch/{module} uses {sorted(unlisted)} of another package: list it above"
        unused = listed.pop(module, set()) - used
        assert not unused, f"hpsearch/{module} no longer uses {sorted(unused)}: take it off the list"
    assert not listed, f"these modules are gone: {sorted(listed)}"


def _private_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names with an underscore that a module reads of other objects, defines, imports, or has as a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names = [] if ast.unparse(node.value) in ("self", "cls") else [node.attr]
        elif isinstance(node, ast.FunctionDef):
            names = [node.name]  # it may take the place of another package's
        elif isinstance(node, ast.ImportFrom):
            names = str(node.module).split(".")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if "._" in node.value and " " not in node.value else []
        elif isinstance(node, ast.Call | ast.Assign):
            values = node.args[1:] if isinstance(node, ast.Call) else [node.value]
            names = [str(value.value) for value in values if isinstance(value, ast.Constant)]
        else:
            continue
        yield from (name for name in names if re.fullmatch(r"_[a-z]\w*|[a-z]+(\.\w+)*\._\w+(\.\w+)*", name))


def _defined(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
