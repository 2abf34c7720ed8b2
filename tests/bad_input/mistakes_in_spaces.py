"""Mistakes in search spaces: ranges, choices, conditions, grids, TOML files; and in hyperparameters and metrics."""

from mistake import RUN, TEXT, Mistake, written

from hpsearch.errors import MetricError, SpaceError, TaskError, UsageError


def _space(what: str, code: str, *says: str, **more: object) -> Mistake:
    return Mistake(what, says, SpaceError, space=f"hp.Space({code})", **more)  # type: ignore[arg-type]


def _toml(what: str, text: str, *says: str, **more: object) -> Mistake:
    world = written("my.toml", text)
    return Mistake(what, ("my.toml", *says), SpaceError, space='"my.toml"', world=world, **more)  # type: ignore[arg-type]


SPACES = [
    _space(
        "low above high", "learning_rate=hp.Float(1e-2, 1e-4)", "Float(0.01, 0.0001)", "low is above high", process=True
    ),
    _space("a logarithm of zero", "learning_rate=hp.Float(0, 1e-2, log=True)", "no logarithm", "raise low"),
    _space("a range of texts", 'learning_rate=hp.Float("1e-4", 1e-2)', "low='1e-4' is not a finite number"),
    _space("a fraction for a whole number", "epochs=hp.Int(1, 3.5)", "high=3.5 is not a whole number", "use Float"),
    _space(
        "a step that does not reach high",
        "dropout=hp.Float(0.0, 0.5, step=0.2)",
        "do not reach 0.5",
        "make high 0.4 or 0.6",
    ),
    _space(
        "no choice: `Categorical([])`", "batch_size=hp.Categorical([])", "nothing to choose from", "at least one choice"
    ),
    _space("a choice twice", "batch_size=hp.Categorical([8, 16, 8])", "8 and 8 are equal", "drop one"),
    _space(
        "a choice that JSON cannot hold",
        "lr_scheduler_type=hp.Categorical([print])",
        "builtin_function_or_method",
        "use None, a bool, a number or a string",
    ),
    _space(
        "a list in place of a choice",
        "batch_size=[8, 16]",
        "batch_size=[8, 16] is not a fixed value",
        "hp.Categorical([8, 16])",
    ),
    _space(
        "a condition on a parameter that is not there",
        'decay_ratio=hp.Float(0.1, 0.5).when(lr_sheduler_type="linear"), lr_scheduler_type="linear"',
        "the space has no 'lr_sheduler_type'",
        "Did you mean 'lr_scheduler_type'?",
    ),
    _space(
        "a condition on a value that is never taken",
        'decay_ratio=hp.Float(0.1, 0.5).when(lr_scheduler_type="wsd"), '
        'lr_scheduler_type=hp.Categorical(["linear", "cosine"])',
        "decay_ratio exists only where lr_scheduler_type='wsd', which never holds",
        "'linear', 'cosine'",
    ),
    _space(
        "conditions in a circle",
        "dropout=hp.Float(0.0, 0.5).when(epochs=1), epochs=hp.Int(1, 2).when(dropout=0.0)",
        "dropout, epochs run in a circle",
        "break it",
    ),
    _space(
        "a default outside the space",
        'learning_rate=hp.Float(1e-4, 1e-2), default={"learning_rate": 1.0}',
        "the default: learning_rate: 1.0 is not a number from 0.0001 to 0.01",
    ),
    _space(
        "a range that reaches what cannot be trained with",
        "learning_rate=hp.Float(0.0, 1e-2)",
        "learning_rate reaches a value that no run can have",
        "above 0",
    ),
    Mistake(
        "a dict in place of a space",
        ("{'learning_rate': 0.1}", "hp.Space("),
        SpaceError,
        space='{"learning_rate": 0.1}',
    ),
    Mistake(
        'a shipped space, misspelt: `"brt"`',
        ("no search space 'brt'", "Did you mean 'bert'?"),
        SpaceError,
        space='"brt"',
    ),
    Mistake(
        "a TOML file that is not there",
        ("nowhere.toml cannot be read", "Check the path"),
        SpaceError,
        space='"nowhere.toml"',
    ),
    _toml(
        "a TOML file with a syntax error",
        "[parameters]\nepochs = \n",
        "is not a TOML file",
        "line 2",
        quotes=True,
        process=True,
    ),
    _toml(
        "a TOML file with an unknown key",
        '[parameters.epochs]\ntype = "int"\nlow = 1\nhgih = 3\n',
        "parameters.epochs: type = 'int' has no key 'hgih'",
        "Did you mean 'high'?",
    ),
    _toml(
        "a TOML file with a key missing",
        '[parameters.epochs]\ntype = "int"\nlow = 1\n',
        "parameters.epochs: type = 'int' needs the key 'high'",
        "add it",
    ),
    _toml(
        "a TOML file with a value of another type",
        '[parameters.epochs]\ntype = "int"\nlow = "1"\nhigh = 3\n',
        "parameters.epochs: Int: low='1' is not a whole number",
    ),
    _toml(
        "a TOML file with an unknown table",
        "[params]\nepochs = 3\n",
        "there is no key 'params'",
        "Did you mean 'parameters'?",
    ),
    Mistake(
        "a grid over a continuous range",
        ("learning_rate: Float(0.0001, 0.01, log=True) is continuous", "hp.Grid(points=4)"),
        SpaceError,
        settings='sampler="grid"',
        process=True,
    ),
    Mistake(
        "a grid of one point: `hp.Grid(points=1)`",
        ("Grid(points=1)", "a whole number of at least 2"),
        SpaceError,
        settings="sampler=hp.Grid(points=1)",
    ),
    Mistake(
        "an enqueued value outside the space",
        ("the enqueued configuration: learning_rate: 5 is not a number",),
        SpaceError,
        call='study.enqueue({"learning_rate": 5})',
        command="",
    ),
    Mistake(
        "an enqueued hyperparameter that the space does not have",
        ("'lr' is not in the space", "It has learning_rate"),
        SpaceError,
        call='study.enqueue({"lr": 1e-3})',
        command="",
    ),
]

HYPERPARAMETERS = [
    Mistake(
        "an unknown hyperparameter: `learning_rte`",
        ("ToyTask does not know the hyperparameter 'learning_rte'", "Did you mean 'learning_rate'?"),
        TaskError,
        space="hp.Space(learning_rte=hp.Float(1e-4, 1e-2))",
        process=True,
    ),
    Mistake(
        "a fixed value that cannot be trained with: `epochs=0`",
        ("epochs=0 cannot be trained with", "a number above 0"),
        TaskError,
        space="hp.Space(learning_rate=hp.Float(1e-4, 1e-2), epochs=0)",
    ),
    Mistake(
        "a schedule that does not exist",
        ("lr_scheduler_type='linaer'", "linear"),
        TaskError,
        space='hp.Space(learning_rate=hp.Float(1e-4, 1e-2), lr_scheduler_type="linaer")',
    ),
    Mistake(
        "more frozen layers than the model has",
        ("freeze_layers", "99", "3"),
        SpaceError,
        task=TEXT,
        space="hp.Space(learning_rate=hp.Float(1e-4, 1e-2), epochs=1, freeze_layers=hp.Int(0, 99))",
    ),
    Mistake(
        "several ranges under one name",
        ("freeze_layers", "has one range", "share of the layers", "hp.compare"),
        SpaceError,
        space="hp.Space(learning_rate=0.1, freeze_layers=[hp.Int(0, 6), hp.Int(0, 12)])",
    ),
    Mistake(
        "a share of the layers above 1",
        ("freeze_layers", "1.5", "from 0.0 to 1.0"),
        SpaceError,
        space="hp.Space(learning_rate=0.1, freeze_layers=hp.Float(0.0, 1.5))",
    ),
    Mistake(
        "one layer beside shares of the layers",
        ("freeze_layers", "1 is one layer", "Give only shares"),
        SpaceError,
        space="hp.Space(learning_rate=0.1, freeze_layers=hp.Categorical([1, 0.5]))",
    ),
    Mistake(
        "a dropout for a model that has none",
        ("dropout", "Leave dropout out of the space"),
        TaskError,
        task='hp.ImageClassification("resnet", train="images", image_size=16)',
        space="hp.Space(learning_rate=hp.Float(1e-4, 1e-2), epochs=1, dropout=hp.Float(0.0, 0.5))",
        world=lambda place: __import__("tasks_samples").save_base("resnet", place / "resnet"),
    ),
]

_METRIC = "import hpsearch as hp\nfrom toy_task import ToyTask\n\n\n{function}\n\n\n" + (
    'study = hp.Study("mine", ToyTask(), hp.Space(epochs=hp.Int(1, 2)), cv=2, metric={name})\n'
)


def _function(what: str, body: str, *says: str, name: str = "mine", **more: object) -> Mistake:
    text = _METRIC.format(function=f"def mine(y_true, y_pred):\n    {body}", name=name)
    return Mistake(what, says, MetricError, body=text, **more)  # type: ignore[arg-type]


METRICS = [
    Mistake(
        "an unknown metric: `f1-macro`",
        ("no metric called 'f1-macro'", "Did you mean 'f1_macro'?"),
        MetricError,
        settings='metric="f1-macro"',
        quotes=True,
        process=True,
    ),
    Mistake(
        "a metric for two classes where there are three",
        ("'f1' cannot be used on a multiclass task", "Did you mean 'f1_macro'?"),
        MetricError,
        settings='metric="f1"',
        quotes=True,
    ),
    Mistake(
        "a metric of regressions",
        ("'r2' cannot be used", "it measures numbers, not classes"),
        MetricError,
        settings='metric="r2"',
        quotes=True,
    ),
    Mistake(
        "`metrics` as one text",
        ("metrics='accuracy'", "metrics=['accuracy']"),
        UsageError,
        settings='metrics="accuracy"',
    ),
    Mistake("a metric that is a number", ("metric 3 is a int", "'f1_macro'"), MetricError, settings="metric=3"),
    _function(
        "a metric that wants probabilities and is given classes",
        "return float(y_pred[:, 1].mean())",
        "metric 'mine'",
        "predicted classes",
        "response_method='predict_proba'",
    ),
    Mistake(
        "a function of scikit-learn's that needs probabilities, with arguments",
        ("needs probabilities or decisions", "make_scorer(log_loss, response_method='predict_proba')"),
        MetricError,
        body=_METRIC.format(
            function="from functools import partial\n\nfrom sklearn.metrics import log_loss",
            name="partial(log_loss, normalize=False)",
        ),
    ),
    Mistake(
        "a scorer that makes an error of a score",
        ("contradicts itself: more of accuracy_score is better", "greater_is_better=False. Leave that out"),
        MetricError,
        body=_METRIC.format(
            function="from sklearn.metrics import accuracy_score, make_scorer",
            name="make_scorer(accuracy_score, greater_is_better=False)",
        ),
    ),
    Mistake(
        "a metric of numbers for classes",
        ("'rmse' cannot be used", "it measures numbers, not classes"),
        MetricError,
        settings='metric="rmse"',
    ),
    _function(
        "a metric that gives the same to right and wrong predictions",
        "return len(y_pred) / 100",
        "'mine' does not tell which way it is better",
        'direction="maximize" or direction="minimize"',
    ),
    _function("a metric that raises", "return y_treu.mean()", "metric 'mine'", "NameError", "Fix the function"),
    _function("a metric that gives NaN", 'return float("nan")', "metric 'mine' gave nan"),
    _function("a metric that gives an array", "return (y_true == y_pred)", "metric 'mine' gave array", "one number"),
    _function("a metric that gives nothing", "(y_true == y_pred).mean()", "metric 'mine' gave None", "return a float"),
    Mistake(
        "a metric called loss",
        ("may not be called 'loss'", "Rename the function"),
        MetricError,
        body=_METRIC.format(function="def loss(y_true, y_pred):\n    return 0.5", name="loss"),
    ),
    Mistake(
        "two metrics of one name",
        ("Two different metrics are called 'mine'", "another name"),
        MetricError,
        body="import hpsearch as hp\nfrom toy_task import ToyTask\n\n\ndef half(share):\n"
        "    def mine(y_true, y_pred):\n        return share\n\n    return mine\n\n\n"
        'study = hp.Study("mine", ToyTask(), hp.Space(epochs=hp.Int(1, 2)), cv=2, '
        "metrics=[half(0.1), half(0.2)])\n",
    ),
    Mistake(
        "a metric that cannot be sent to a worker process",
        ("metric 'mine'", "pickle", "inside the function"),
        MetricError,
        call="study.run(trials=1, devices=1, progress=False)",
        command="run study.py --trials 1 --devices 1",
        quotes=True,
        body="import threading\n\nimport hpsearch as hp\nfrom toy_task import ToyTask\n\nlock = threading.Lock()\n"
        "\n\ndef mine(y_true, y_pred):\n    with lock:\n        return (y_true == y_pred).mean()\n\n\n"
        'study = hp.Study("mine", ToyTask(), hp.Space(epochs=hp.Int(1, 2)), cv=2, metric=mine)\n',
    ),
]


def _adapters(what: str, code: str, *says: str, error: type = SpaceError, task: str = TEXT, **more: object) -> Mistake:
    space = f"hp.Space(learning_rate=hp.Float(1e-4, 1e-2), epochs=1, {code})"
    return Mistake(what, says, error, task=task, space=space, **more)  # type: ignore[arg-type]


ADAPTERS = [
    _adapters("a rank of 0", "lora_r=0", "lora_r=0", "a whole number from 1 or None", error=TaskError),
    _adapters("an alpha of adapters without a rank", "lora_alpha=32", "lora_alpha", "without lora_r", "their rank"),
    _adapters("LoRA under another name: `lora_rank`", "lora_rank=8", "Did you mean 'lora_r'?", error=TaskError),
    _adapters(
        "peft's switch for DoRA: `use_dora`", "lora_r=8, use_dora=True", "Did you mean 'lora_variant'?", error=TaskError
    ),
    _adapters(
        "a module to adapt that the model does not have",
        'lora_r=8, lora_target_modules="q_proj,v_proj"',
        "has no module 'q_proj' that takes an adapter",
        "all-linear",
        "query, key, value, dense",
        error=TaskError,
        call=RUN,
    ),
    _adapters(
        "adapters, and the head trained alone",
        'lora_r=8, freeze_layers=hp.Categorical([0, "all"])',
        "that trains the head alone",
        ".when(lora_r=None)",
    ),
    _adapters(
        "adapters, and every weight drawn anew",
        "lora_r=8, pretrained=hp.Categorical([True, False])",
        "that draws every weight",
        ".when(lora_r=None)",
    ),
    _adapters(
        "adapters on a model that is not pretrained",
        "lora_r=8",
        "lora_r=8 with pretrained=False",
        "Leave out one of them",
        error=TaskError,
        task='hp.TextClassification("model", train="train.csv", pretrained=False)',
    ),
    _adapters(
        "adapters in a task without a model of transformers",
        "lora_r=8",
        "ToyTask does not know the hyperparameter 'lora_r'",
        "models of transformers",
        error=TaskError,
        task="ToyTask()",
    ),
]

GROUPS = {
    "Search spaces": SPACES,
    "Hyperparameters": HYPERPARAMETERS,
    "Adapters": ADAPTERS,
    "Metrics": METRICS,
}
