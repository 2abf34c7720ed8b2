"""The benchmarks of whole systems: what they count, compare and draw; that the recipes are equal, on a tiny BERT."""

import importlib.util
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from tasks_samples import config_of, review_rows, save_text_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertForSequenceClassification

from benchmarks import measurements, parties, plots, readme_table, scoreboards, systems
from benchmarks.end_to_end import Search, medians
from benchmarks.flops import Sizes, distinct_work
from benchmarks.jobs import Findings, Job, trial_list
from benchmarks.search_space import Complete, improvements
from benchmarks.trainer import freeze_first
from benchmarks.worker_profile import part_of


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(measurements, "FOLDER", tmp_path / "results")
    return tmp_path / "results"


@pytest.mark.parametrize("frozen", [0, 1, 3])
def test_operations_are_those_that_torch_counts(frozen: int) -> None:
    model = BertForSequenceClassification(config_of("bert", attn_implementation="eager", num_labels=4))
    freeze_first(model, frozen)
    sizes, lengths = Sizes.of(model.config, 4), np.full(5, 7)
    with FlopCounterMode(display=False) as forward:
        loss = model(input_ids=torch.ones(5, 7, dtype=torch.long), labels=torch.zeros(5, dtype=torch.long)).loss
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    assert sizes.forward(lengths, 3) == forward.get_total_flops()
    assert sizes.backward(lengths, 3 - frozen) == backward.get_total_flops()


def test_the_features_of_frozen_layers_count_once() -> None:
    sizes, lengths = Sizes(6, 8, 16, 4), np.arange(4, 13)
    folds = [(np.arange(6), np.arange(6, 9)), (np.arange(3, 9), np.arange(3))]
    nine = distinct_work(sizes, lengths, folds, trial_list("nine", "linear"))
    full = distinct_work(sizes, lengths, folds, trial_list("full", "linear"))
    assert nine.features == 6 * sizes.layer(lengths)
    assert full.features == 0
    assert full.training < nine.training < 2 * full.training
    assert distinct_work(sizes, lengths, folds, trial_list("full", "constant")) == full  # every step counts


def test_the_lists_are_those_that_are_described() -> None:
    nine = trial_list("nine", "linear")
    assert {(config["freeze_layers"], config["epochs"]) for config in nine} == {
        (freeze, epochs) for freeze in (0, 3, 6) for epochs in (1, 2, 3)
    }
    assert [config for config in nine if not config["freeze_layers"]] == trial_list("full", "linear")


def run_of(seconds: float, score: float = 0.6) -> parties.Run:
    scores = {(index, fold): score + 0.01 * fold for index in range(3) for fold in range(3)}
    return parties.Run(seconds, 5.0, 2 * seconds - 12.0, None, 2, 10**9, 0.5, scores, {})


def test_the_scoreboard_says_how_many_times_faster_and_whose_time_stands_for_whose() -> None:
    board = scoreboards.Board({}, probe={"mean": 0.55, "deviation over folds": 0.01})
    board.runs = {
        ("linear", "nine", "hpsearch"): [run_of(60.0), run_of(50.0), run_of(55.0)],
        ("linear", "nine", "tuned"): [run_of(165.0, 0.605), run_of(170.0, 0.605)],
        ("linear", "nine", "written"): [run_of(440.0, 0.3)],
        ("constant", "nine", "hpsearch"): [run_of(30.0)],
    }
    linear, constant = (scoreboards.scoreboard(board, *each) for each in board.boards())
    tuned, written = linear["parties"]["tuned"], linear["parties"]["written"]
    assert tuned["times hpsearch"] == {"median": 167.5 / 55, "low": 165 / 60, "high": 170 / 50}
    assert tuned["scores agree"]["holds"]
    assert not written["scores agree"]["holds"]
    assert linear["best above the probe"]["holds"]
    assert constant["parties"]["tuned"]["measured with the schedule"] == "linear"
    assert "scores agree" not in constant["parties"]["tuned"]
    assert linear["parties"]["hpsearch"]["runs"][0]["idle"] == 2.0
    rows = list(scoreboards.rows_of([linear, constant]))
    assert [(row.goal, row.met) for row in rows] == [("3x", True), ("7x", True), ("5x", True), ("12x", True)]
    ElementTree.fromstring(scoreboards.plot([linear, constant]))


def test_parties_alternate_and_the_peer_as_written_runs_least() -> None:
    given = systems.parser().parse_args(["--rounds", "2"])
    steps = systems.plan(given)
    first = [step.party for step in steps if (step.round, step.schedule, step.list) == (0, "linear", "nine")]
    second = [step.party for step in steps if (step.round, step.schedule, step.list) == (1, "linear", "nine")]
    assert sorted(first) == ["hpsearch", "tuned", "written"]
    assert second == ["hpsearch", "tuned"]
    assert first[0] != second[0]
    others = [step for step in steps if step.schedule == "warmup_stable_decay" and step.party != "hpsearch"]
    assert [(step.round, step.list, step.party) for step in others] == [(0, "nine", "tuned")]
    assert systems.estimate(steps, 600) > systems.estimate(steps, 120) > 0


def test_a_party_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"no_such_party failed with status 1: .*No module named"):
        parties.launch(["benchmarks.no_such_party"], tmp_path)


def test_findings_of_several_processes_are_one_run(tmp_path: Path) -> None:
    job = Job("tuned", [], "data", "model", 60, str(tmp_path))
    assert Job.read(job.write()) == job
    Findings(110.0, 103.0, [(0, 0, 0.5)], 5.0, 1.0).write(job)
    Findings(112.0, 104.0, [(1, 0, 0.25)], 6.0, 1.0).write(job, 1)
    run = parties._run(100.0, Findings.read(job), parties.Watch(None, {1: 5, 2: 7}))  # type: ignore[arg-type]
    assert (run.seconds, run.startup, run.training, run.evaluation, run.processes) == (12.0, 3.0, 11.0, 2.0, 2)
    assert run.idle == 2 * 9.0 - 13.0
    assert run.scores == {(0, 0): 0.5, (1, 0): 0.25}
    assert run.memory == 12


def test_the_first_time_at_the_target_counts_and_a_search_that_fails_counts_whole() -> None:
    trials = [Complete(at, value, {}, 1.0) for at, value in ((1.0, 0.3), (2.0, 0.2), (3.0, 0.5))]
    assert [trial.time for trial in improvements(trials)] == [1.0, 3.0]
    there = Search([(10.0, trials[0]), (20.0, trials[2])], {}, [0.5, 0.7])
    never = Search([(10.0, trials[0])], {}, [0.5])
    assert (there.seconds_to(0.66), never.seconds_to(0.66)) == (20.0, None)
    assert (there.test_at(9.0), there.test_at(15.0), there.test_at(60.0)) == (None, 0.5, 0.7)
    found = medians([there, never, never], 0.66, 1.0)
    assert (found["reached"], found["median seconds to the target"]) == (1, 60.0)


@pytest.mark.parametrize(
    ("part", "stack"),
    [
        (
            "evaluation",
            [("hpsearch/training/prediction.py", "predict"), ("hpsearch/training/fine_tune.py", "_measure")],
        ),
        ("training", [("torch/nn/linear.py", "forward"), ("hpsearch/training/gradients.py", "accumulate_gradients")]),
        ("features", [("hpsearch/training/features/cache.py", "fill"), ("hpsearch/runtime/worker.py", "_segment")]),
        ("making runs ready", [("hpsearch/training/base_model.py", "fresh"), ("hpsearch/runtime/worker.py", "train")]),
        ("waiting for the coordinator", [("queue.py", "get"), ("hpsearch/runtime/worker_process.py", "receive")]),
        ("starting", [("importlib/__init__.py", "import_module")]),
    ],
)
def test_a_stack_tells_what_a_worker_does(part: str, stack: list[tuple[str, str]]) -> None:
    assert part_of(stack) == part


def test_the_table_has_the_rows_of_all_results_and_goes_between_its_markers(tmp_path: Path) -> None:
    rows = [readme_table.Row("a | b", "3.1x", "3x", True), readme_table.Row("other", "6x", "7x", False)]
    measurements.write_measurements("systems", {"readme": readme_table.readme_rows(rows)})
    measurements.write_measurements("another", {"readme": readme_table.readme_rows([readme_table.Row("c", "1 s")])})
    measurements.write_measurements("emotion", {"scores": {}})
    table = readme_table.readme_table().splitlines()
    assert table[2:] == [
        "| `systems` | a \\| b | 3.1x | 3x | met |",
        "| `systems` | other | 6x | 7x | **missed** |",
        "| `another` | c | 1 s |  |  |",
    ]
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{readme_table.BEGIN}\nold\n{readme_table.END}\nafter\n")
    for _ in range(2):
        readme_table.write_readme_table(readme)
        text = readme.read_text()
        assert text.startswith(f"before\n{readme_table.BEGIN}\n| benchmark")
        assert text.endswith(f"**missed** |\n| `another` | c | 1 s |  |  |\n{readme_table.END}\nafter\n")
    readme.write_text("no markers")
    with pytest.raises(ValueError, match="no place for the table"):
        readme_table.write_readme_table(readme)


def test_bars_are_as_long_as_their_values() -> None:
    svg = plots.bars("Time <s>", "seconds", [plots.Bar("g", "a & b", 10.0, 9.0, 12.0), plots.Bar("g", "c", 5.0)])
    page = ElementTree.fromstring(svg)
    spaced = "{http://www.w3.org/2000/svg}"
    widths = [float(each.attrib["width"]) for each in page.iter(f"{spaced}rect")][1:]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2)
    assert {"Time <s>", "a & b", "10"} <= {each.text for each in page.iter(f"{spaced}text")}
    assert plots.write_plot("times", svg).name == "times.svg"


def test_a_step_holds_until_the_next() -> None:
    line = plots.Line("best", [1.0, 10.0, 100.0], [0.0, 1.0, 1.0], step=True)
    page = ElementTree.fromstring(plots.lines("Best", "s", "score", [line], log_x=True))
    drawn = page.find("{http://www.w3.org/2000/svg}polyline")
    assert drawn is not None
    points = [tuple(map(float, point.split(","))) for point in drawn.attrib["points"].split()]
    assert len(points) == 5
    assert points[1][1] == points[0][1]
    assert points[2][0] - points[0][0] == pytest.approx(points[4][0] - points[2][0], abs=0.2)


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (3, 47, [10, 20, 30, 40])])
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert plots.ticks(low, high) == pytest.approx(expected)


def test_what_is_missing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert systems.main(["--data", str(tmp_path), "--model", str(tmp_path)]) is None
    assert "skipped, for want of" in capsys.readouterr().out


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="Trainer needs accelerate")
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("schedule", "frozen"), [("linear", 0), ("warmup_stable_decay", 2)])
def test_the_recipe_is_that_of_trainer(tmp_path: Path, schedule: str, frozen: int) -> None:
    from benchmarks.equal_recipe import equal_recipe

    model = save_text_model(tmp_path / "bert")
    found = equal_recipe(str(model), review_rows(96), schedule, frozen, steps=12)
    assert found["holds"], found
    assert found["largest difference of a weight"] < 1e-5 < found["largest way of a weight"]
