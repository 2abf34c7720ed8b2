"""The command line, as a person uses it: in this process, or as real processes for signals and locks."""

import contextlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hpsearch.cli.commands import app

ROOT = Path(__file__).parents[2]
STUDY = """
import hpsearch as hp
from toy_task import ToyTask

space = hp.Space(learning_rate=hp.Float(1e-3, 1e-1, log=True), epochs=hp.Int(1, 3), batch_size=8, warmup_ratio=0.1)
study = hp.Study("toy", ToyTask(pause={pause}), space, sampler="random", cv=2, metrics=["accuracy"], pruner="none")
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, with a study file in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    paths = [str(ROOT), str(ROOT / "tests" / "runtime")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "toy_study.py").write_text(STUDY.format(pause=0))
    return tmp_path


def hpsearch(*words: object) -> tuple[int, str, str]:
    """Return (exit code, standard output, standard error) of a command run in this process."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def error(*words: object) -> tuple[int, str]:
    """Return (exit code, message) of a command that fails, and check that the message is one paragraph of ours."""
    code, _, message = hpsearch(*words)
    assert code != 0
    assert message.startswith("hpsearch: ")
    assert "Traceback" not in message
    assert len(message.splitlines()) == 1
    return code, message


@pytest.fixture
def ran(place: Path) -> str:
    """What `run` printed of three trials."""
    code, output, _ = hpsearch("run", "toy_study.py", "--trials", 3, "--devices", "inline")
    assert code == 0
    return output


def start(*words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "hpsearch", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.fixture
def running(place: Path) -> Iterator["subprocess.Popen[str]"]:
    """A real `hpsearch run` of many slow trials, its first trial ended."""
    (place / "toy_study.py").write_text(STUDY.format(pause=0.02))
    process = start("run", "toy_study.py", "--trials", "200", "--devices", "1")
    assert process.stderr is not None
    assert "trial 0 complete" in process.stderr.readline()
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


# ---------------------------------------------------------------- help and small commands


def test_help_names_every_command_and_the_exit_codes() -> None:
    code, output, _ = hpsearch("--help")
    assert code == 0
    for command in ("run", "resume", "list", "show", "report", "compare", "export", "spaces", "doctor"):
        assert re.search(rf"\b{command}\b", output), command
    assert "75" in output
    assert "130" in output
    code, without_a_command, _ = hpsearch()
    assert code == 0
    assert without_a_command.strip() == output.strip()


@pytest.mark.parametrize(
    "command", ["run", "resume", "list", "show", "report", "compare", "export", "spaces", "doctor"]
)
def test_every_command_has_help(command: str) -> None:
    code, output, _ = hpsearch(command, "--help")
    assert code == 0
    assert "Usage" in output


def test_a_command_that_cannot_be_understood_is_exit_code_2() -> None:
    for words in (["show"], ["frobnicate"], ["run", "toy_study.py", "--trials", "three"], ["list", "--nonsense"]):
        code, output, errors = hpsearch(*words)
        assert (code, output) == (2, "")
        assert "Usage: " in errors
        assert "Traceback" not in errors


def test_the_version_is_the_packages() -> None:
    from hpsearch import __version__

    assert hpsearch("--version") == (0, f"{__version__}\n", "")


def test_help_loads_nothing_heavy(place: Path) -> None:
    """What is fast is kept fast: the time itself is measured by the benchmark."""
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom hpsearch.cli.commands import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print({'torch', 'transformers', 'optuna', 'plotly', 'pandas', 'sklearn', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_spaces_are_listed_and_printed_with_their_sources() -> None:
    code, output, _ = hpsearch("spaces")
    assert code == 0
    names = [line.split()[0] for line in output.splitlines() if not line.startswith(" ")]
    assert names == sorted(path.stem for path in (ROOT / "search_spaces").glob("*.toml"))
    assert "for text: 5 searched, 4 fixed, a grid of 720; default learning_rate=2e-05," in output
    code, output, _ = hpsearch("spaces", "bert")
    assert code == 0
    assert "learning_rate: 5e-06 to 0.001, logarithmic; grid 1e-05, 2e-05" in output
    assert "default 2e-05" in output
    assert "    [checked] 2e-5, 3e-5, 5e-5: Devlin et al. 2019" in output
    assert error("spaces", "brt")[1].startswith("hpsearch: There is no search space 'brt'. Did you mean 'bert'?")
    assert max(map(len, output.splitlines())) < 140


def test_doctor_starts_a_worker_and_finds_this_machine_well() -> None:
    code, output, _ = hpsearch("doctor")
    assert code == 0, output
    found = {line.split()[1]: line.split()[0] for line in output.splitlines()}
    assert found == dict.fromkeys(found, "ok")
    assert {"hpsearch", "torch", "devices", "memory", "disk", "cache", "database", "worker", "ray"} <= set(found)


def test_doctor_names_a_cache_that_cannot_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "file").touch()
    monkeypatch.setenv("HPSEARCH_CACHE", str(place / "file" / "cache"))
    code, output, _ = hpsearch("doctor")
    assert code == 1
    assert re.search(r"^BAD +cache .*HPSEARCH_CACHE", output, re.MULTILINE)


def test_doctor_asks_a_ray_cluster_that_does_not_answer_for_seconds_only(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those in which Ray is imported do not count."""
    pytest.importorskip("ray")
    from hpsearch.cli import doctor

    (place / "sitecustomize.py").write_text("import time\ntime.sleep(2)")
    monkeypatch.setenv("PYTHONPATH", str(place))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(doctor, "RAY_SECONDS", 2.0)
        began = time.monotonic()
        found = doctor.ray_cluster()
    assert 4 <= time.monotonic() - began < 12
    assert not found.is_good and "(RAY_ADDRESS) does not answer within 2 seconds" in found.text


# ---------------------------------------------------------------- run, resume, list, show


def test_run_prints_the_table_and_the_best_trial(ran: str) -> None:
    lines = ran.splitlines()
    assert lines[0].split()[:5] == ["trial", "state", "f1_macro", "std", "folds"]
    assert [line.split()[0] for line in lines[1:4]] == ["0", "1", "2"]
    assert "0 (default)" in ran
    assert re.search(r"^best: trial \d, f1_macro 0\.\d{4}, 95% interval", ran, re.MULTILINE)


def test_show_prints_what_run_did(ran: str) -> None:
    code, output, _ = hpsearch("show", "toy")
    assert code == 0
    head, _, rest = output.partition("\n")
    assert head == "toy: ToyTask on 60 rows, 3 classes, 2 fold(s); sampler random, pruner none, seed 0"
    assert rest == ran


def test_run_says_what_comes_next(place: Path) -> None:
    _, _, errors = hpsearch("run", "toy_study.py", "--trials", 1, "--devices", "inline")
    (report, export) = re.findall(r"hpsearch (report \S+), or hpsearch (export \S+ \S+)$", errors, re.MULTILINE)[0]
    assert hpsearch(*report.split())[0] == 0
    assert hpsearch(*export.split())[0] == 0
    assert (place / "best-model" / "README.md").exists()


def test_a_study_is_found_by_its_folder_or_a_file_in_it(ran: str) -> None:
    outputs = {hpsearch("show", name) for name in ("toy", "runs/toy", "runs/toy/", "runs/toy/study.json")}
    assert len(outputs) == 1
    assert next(iter(outputs))[0] == 0
    assert "There is no study 'other' in runs." in error("show", "runs/other")[1]


def test_resume_goes_on_to_the_number_of_trials_that_was_asked_for(ran: str) -> None:
    assert hpsearch("resume", "toy", "--devices", "inline")[1] == ran  # three there are
    code, output, progress = hpsearch("resume", "runs/toy", "--trials", 5, "--devices", "inline")
    assert code == 0
    assert [line.split()[0] for line in output.splitlines()[1:6]] == list("01234")
    assert "toy: trial 4 complete" in progress
    code, output, _ = hpsearch("run", "toy_study.py", "--trials", 6, "--devices", "inline")
    assert code == 0
    assert [line.split()[0] for line in output.splitlines()[1:7]] == list("012345")


def test_limits_are_options_and_resume_keeps_them_but_for_those_that_it_is_given(place: Path) -> None:
    run = ("run", "toy_study.py", "--devices", "inline")
    code, output, errors = hpsearch(*run, "--epochs", "12", "--patience", "9")
    assert code == 0
    assert "ended by epochs: it has trained" in output
    assert "toy: ended by epochs: it has trained" in errors
    assert "Next: hpsearch report" in errors
    assert hpsearch("resume", "toy", "--devices", "inline")[1] == output  # nothing more is trained
    assert hpsearch("show", "toy")[1].endswith(output)
    _, longer, _ = hpsearch("resume", "toy", "--devices", "inline", "--epochs", "20")
    assert "of 20 epochs" in longer
    assert len(longer.splitlines()) > len(output.splitlines())
    _, last, _ = hpsearch("resume", "toy", "--devices", "inline", "--epochs", "1000", "--patience", "1")
    assert "ended by patience" in last


def test_virtual_slots_are_an_option_and_what_they_change_is_shown(place: Path) -> None:
    (place / "toy_study.py").write_text(STUDY.format(pause=0).replace('sampler="random", ', ""))
    where = ("--devices", "inline")
    code, output, _ = hpsearch("run", "toy_study.py", "--trials", 2, *where, "--virtual-slots", 3)
    assert code == 0
    assert "Not repeatable" not in output
    code, output, _ = hpsearch("resume", "toy", "--trials", 3, *where, "--virtual-slots", 5)
    assert code == 0
    heading, *said = output[output.index("Not repeatable") : output.index("best: ")].splitlines()
    assert heading == "Not repeatable from the seed alone:"
    assert said == ["  from trial 2 on: the number of virtual slots is 5", "  from trial 2 on: trials is 3"]
    assert hpsearch("show", "toy")[1].endswith(output)
    code, message = error("resume", "toy", "--trials", 4, *where, "--virtual-slots", 4)
    assert code == 2
    assert "virtual_slots=4: the study 'toy' has 5" in message


def test_a_dry_run_says_what_the_study_would_take_and_writes_none(place: Path) -> None:
    code, output, _ = hpsearch("run", "toy_study.py", "--trials", "20", "--devices", "inline", "--dry-run")
    assert code == 0
    assert output.startswith("toy: forecast for 20 trials on 1 worker(s), from 1 configurations tried")
    assert re.search(r"^  time +\d+ s +\(\d+ s to \d+ s\)$", output, re.MULTILINE)
    assert not (place / "runs").exists()
    code, output, _ = hpsearch(
        "run", "toy_study.py", "--trials", "20", "--epochs", "9", "--devices", "inline", "--dry-run"
    )
    assert code == 0
    assert re.match(r"toy: forecast for \d+ trials? (\(\d+ to \d+\) )?on 1 worker", output)
    assert not output.startswith("toy: forecast for 20 ")
    code, message = error("run", "toy_study.py", "--patience", "2", "--devices", "inline", "--dry-run")
    assert code == 2
    assert "Budget(patience=2) alone does not tell what a study will take" in message


def test_a_dry_run_of_a_study_that_is_there_says_what_is_left_and_changes_nothing(place: Path) -> None:
    hpsearch("run", "toy_study.py", "--trials", "1", "--devices", "inline")
    before = hpsearch("show", "toy")
    dry = ("run", "toy_study.py", "--devices", "inline", "--dry-run", "--trials")
    left, done = (hpsearch(*dry, trials) for trials in ("3", "1"))
    assert (left[0], done[0]) == (0, 0)
    assert left[1].startswith("toy: forecast for 2 trials on 1 worker(s), from 1 configurations tried")
    assert done[1].startswith("toy: forecast for 0 trials on 1 worker(s), from 0 configurations tried")
    assert hpsearch("show", "toy") == before


def test_progress_is_shown_as_asked(place: Path) -> None:
    for trials, how, lines in ((1, "none", 0), (2, "plain", 1), (3, "auto", 1)):  # without a terminal
        code, _, shown = hpsearch("run", "toy_study.py", "--trials", trials, "--devices", "inline", "--progress", how)
        assert code == 0
        assert shown.count("toy: trial ") == lines
        assert (f"toy: trial {trials - 1} complete" in shown) == bool(lines)
    assert "toy: trial" not in hpsearch("resume", "toy", "--trials", 5, "--devices", "inline", "--progress", "none")[2]
    code, message = error("run", "toy_study.py", "--trials", 6, "--progress", "plan")
    assert code == 2
    assert "--progress 'plan' is not understood. Did you mean 'plain'?" in message
    code, message = error("run", "toy_study.py", "--trials", 6, "--progress", "line")
    assert code == 2
    assert "--progress 'line' is not understood. Did you mean 'plain'?" in message


def test_list_and_show_need_neither_the_task_nor_its_data(
    place: Path, ran: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(place / "cache")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for words in (["list"], ["show", "toy"]):
        command = [sys.executable, "-m", "hpsearch", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "3" in done.stdout
        assert "complete" in done.stdout
    assert not (place / "cache").exists()
    command = [sys.executable, "-m", "hpsearch", "resume", "toy", "--trials", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "toy_task:ToyTask" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["list"], ["show", "toy"]])
def test_looking_loads_neither_torch_nor_optuna_nor_the_task(ran: str, words: list[str]) -> None:
    heavy = {"torch", "transformers", "optuna", "scipy", "plotly", "pandas", "sklearn", "toy_task"}
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom hpsearch.cli.commands import app\n"
        f"assert CliRunner().invoke(app, {words}).exit_code == 0\n"
        f"print({heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_list_has_a_line_for_each_study_and_says_which_cannot_be_read(place: Path, ran: str) -> None:
    shutil.copytree("runs/toy", "runs/broken")
    Path("runs/broken/study.db").write_bytes(b"not a database at all" * 100)
    code, output, _ = hpsearch("list")
    assert code == 0
    header, broken, toy = output.splitlines()
    assert header.split() == ["study", "trials", "best", "states"]
    assert broken.startswith("broken ")
    assert "database failed" in broken
    assert re.fullmatch(r"toy +3 +f1_macro 0\.\d{4} \(trial \d\) +3 complete", toy)


def test_list_counts_a_trial_that_another_tool_has_ended_without_a_value(ran: str) -> None:
    with contextlib.closing(sqlite3.connect("runs/toy/study.db")) as database:
        database.execute("DELETE FROM hpsearch_decisions")  # Optuna's rows say that they are complete
        database.commit()
    code, output, _ = hpsearch("list")
    assert code == 0
    assert output.splitlines()[1].split() == ["toy", "3", "3", "complete"]


def test_list_says_where_there_is_nothing() -> None:
    assert hpsearch("list", "--folder", "nowhere") == (0, "There are no studies in nowhere.\n", "")


def test_a_database_elsewhere_is_named_by_its_url(place: Path) -> None:
    (place / "toy_study.py").write_text(STUDY.format(pause=0).replace("cv=2", 'cv=2, storage="sqlite:///shared.db"'))
    assert hpsearch("run", "toy_study.py", "--trials", 2, "--devices", "inline")[0] == 0
    code, message = error("show", "toy")
    assert code == 2
    assert "--storage" in message
    storage = ("--storage", "sqlite:///shared.db")
    assert "2 complete" in hpsearch("list", *storage)[1]
    assert "best: trial" in hpsearch("show", "toy", *storage)[1]
    assert hpsearch("resume", "toy", *storage, "--trials", 3, "--devices", "inline")[0] == 0


def test_a_failed_trial_names_its_log(place: Path) -> None:
    text = STUDY.format(pause=0).replace("ToyTask(pause=0)", 'ToyTask(trouble="raise")')
    (place / "toy_study.py").write_text(text)
    code, _, message = hpsearch("run", "toy_study.py", "--trials", 3, "--devices", "inline")
    assert code == 1
    assert "hpsearch: The first 3 trials all failed with the same exception" in message
    assert "RuntimeError: the toy is broken" in message
    code, output, _ = hpsearch("show", "toy")
    assert code == 0
    assert "failed on fold 0" in output
    assert "No trial is complete." in output
    (log,) = re.findall(r"runs/toy/logs/trial-0000-\S+?\.log", output)
    assert "the toy is broken" in Path(log).read_text()


# ---------------------------------------------------------------- what a person gets wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "import hpsearch as hp\n\nimport nosuchmodule\n",
            "line 3: ModuleNotFoundError: No module named 'nosuchmodule'",
        ),
        (
            "import hpsearch as hp\nspace = hp.Space(\n  learning_rate=hp.Float(1.0, 0.1),\n)\n",
            "line 3: Float(1.0, 0.1)",
        ),
        ("study = (\n", "line 1: '(' was never closed"),
        ("def broken():\n    return 1 / 0\n\nbroken()\n", "line 2: ZeroDivisionError"),
        ("x = 1\n", "defines no study"),
        ("study = 'toy'\n", "defines no study"),
        ("studies = []\n", "defines no study"),
        (
            STUDY.format(pause=0) + "studies = [hp.Study('other', ToyTask(), space)]\n",
            "defines a `study` that is none of its `studies`. Keep one of the two names.",
        ),
        (STUDY.format(pause=0) + "study.run(trials=2)\n", "line 7: The file trains a study as it is read."),
        (STUDY.format(pause=0) + "hp.run([study], trials=2)\n", "line 7: The file trains a study as it is read."),
        (STUDY.format(pause=0) + "study.forecast(2)\n", "line 7: The file trains a study as it is read."),
    ],
)
def test_a_bad_study_file_is_named_with_its_line(place: Path, text: str, expected: str) -> None:
    (place / "bad.py").write_text(text)
    code, message = error("run", "bad.py", "--trials", 3)
    assert code == 2
    assert message.startswith("hpsearch: bad.py")
    assert expected in message
    assert not (place / "runs").exists()


def test_what_stands_below_a_guard_is_left_to_the_script(place: Path) -> None:
    guarded = STUDY.format(pause=0) + 'if __name__ == "__main__":\n    study.run(trials=2)\n    raise SystemExit(9)\n'
    (place / "toy_study.py").write_text(guarded)
    assert hpsearch("run", "toy_study.py", "--trials", 1, "--devices", "inline")[0] == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "nowhere.py"], "There is no file nowhere.py"),
        (["run", "toy_study.py"], "--trials"),
        (["run", "toy_study.py", "--timeout", "soon"], "timeout='soon'"),
        (["run", "toy_study.py", "--trials", "0"], "trials=0"),
        (["run", "toy_study.py", "--trials", "3", "--devices", "tpu"], "devices='tpu'"),
        (["run", "toy_study.py", "--trials", "3", "--devices", "cpu,tpu"], "devices='cpu,tpu' is not understood"),
        (["run", "toy_study.py", "--trials", "3", "--trials-per-device", "many"], "trials_per_device='many'"),
        (["run", "toy_study.py", "--trials", "3", "--devices", "cpu:2", "--trials-per-device", "2"], "is for GPUs"),
        (["run", "toy_study.py", "--trials", "3", "--devices", "90,91"], "asks for cuda:90, and this process sees"),
        (["run", "."], "There is no file"),
        (["resume", "toy"], "There is no study 'toy' in runs"),
        (["show", "toy", "--folder", "nowhere"], "There is no study 'toy' in nowhere"),
        (["report", "toy"], "There is no study 'toy'"),
        (["export", "toy", "model"], "There is no study 'toy'"),
        (["spaces", "brt"], "Did you mean 'bert'?"),
    ],
)
def test_what_cannot_be_done_as_said_is_exit_code_2(words: list[str], expected: str) -> None:
    code, message = error(*words)
    assert code == 2
    assert expected in message


def test_a_name_nearly_right_is_guessed(ran: str) -> None:
    assert "Did you mean 'toy'?" in error("show", "toi")[1]


def test_a_changed_study_is_refused_and_says_what_changed(place: Path, ran: str) -> None:
    (place / "toy_study.py").write_text(STUDY.format(pause=0).replace("hp.Int(1, 3)", "hp.Int(1, 4)"))
    code, message = error("run", "toy_study.py", "--trials", 4, "--devices", "inline")
    assert code == 2
    assert "epochs was Int(1, 3) and is now Int(1, 4)" in message


def test_a_study_with_its_metric_in_the_file_is_run_again_not_resumed(place: Path) -> None:
    text = STUDY.format(pause=0).replace('metrics=["accuracy"]', "metrics=[half]")
    (place / "toy_study.py").write_text("def half(y_true, y_pred):\n    return 0.5\n" + text)
    assert hpsearch("run", "toy_study.py", "--trials", 2, "--devices", "inline")[0] == 0
    code, message = error("resume", "toy")
    assert code == 2
    assert "Run that script again" in message
    code, output, _ = hpsearch("run", "toy_study.py", "--trials", 3, "--devices", "1")  # and the worker has the metric
    assert code == 0
    assert "\n2 " in output


def test_a_study_with_its_metric_in_the_file_is_named_by_the_file(place: Path) -> None:
    """Its name alone is enough to read it: what comes next is said, and works, with the file's."""
    text = STUDY.format(pause=0).replace('metrics=["accuracy"]', "metrics=[half]")
    (place / "toy_study.py").write_text("def half(y_true, y_pred):\n    return 0.5\n" + text)
    _, output, errors = hpsearch("run", "toy_study.py", "--trials", 2, "--devices", "inline")
    (report, export) = re.findall(r"hpsearch (report \S+), or hpsearch (export \S+ \S+)$", errors, re.MULTILINE)[0]
    assert hpsearch(*report.split()) == (0, f"{place}/runs/toy/report.html\n", "")
    assert hpsearch(*export.split()) == (0, "best-model\n", "")
    assert (place / "best-model" / "hpsearch.json").exists()
    code, shown, _ = hpsearch("show", "toy_study.py")
    assert code == 0
    assert shown.endswith(output)
    assert shown == hpsearch("show", "toy")[1]
    assert hpsearch("report", "toy") == (0, f"{place}/runs/toy/report.html\n", "")
    assert "hpsearch export FILE.py TARGET." in error("export", "toy", "model")[1]


def test_a_file_is_shown_when_its_study_was_run(place: Path) -> None:
    for words in (["show", "toy_study.py"], ["report", "toy_study.py"], ["export", "toy_study.py", "model"]):
        code, message = error(*words)
        assert code == 2
        assert "'toy' has not been run yet" in message
        assert "There is no file nowhere.py" in error(words[0], "nowhere.py", *words[2:])[1]


def test_the_studies_of_a_file_run_together(place: Path) -> None:
    text = STUDY.format(pause=0)
    twice = text + text.replace('"toy"', '"other"').replace("study =", "other =") + "studies = [study, other]\n"
    (place / "toy_study.py").write_text(twice)
    code, output, _ = hpsearch("run", "toy_study.py", "--trials", 2, "--devices", "inline")
    assert code == 0
    assert output.count("best: trial") == 2
    assert [line.split()[0] for line in hpsearch("list")[1].splitlines()] == ["study", "other", "toy"]
    assert hpsearch("show", "toy_study.py")[1].count("best: trial") == 2
    _, forecast, _ = hpsearch("run", "toy_study.py", "--trials", 3, "--devices", "inline", "--dry-run")
    assert forecast.count("forecast for 1 trial") == 2
    assert forecast.splitlines()[-1].startswith("Each is forecast alone. Together they")
    pages = [str(place / "runs" / name / "report.html") for name in ("toy", "other")]
    assert hpsearch("report", "toy_study.py")[1].splitlines() == pages
    assert "leave out --output" in error("report", "toy_study.py", "--output", "one.html")[1]
    assert hpsearch("export", "toy_study.py", "models") == (0, "models/toy\nmodels/other\n", "")


def test_a_study_file_sees_no_arguments_and_finds_its_neighbours(place: Path) -> None:
    (place / "sub").mkdir()
    (place / "sub" / "neighbour.py").write_text("NAME = 'neighbourly'\n")
    text = "import sys\nfrom neighbour import NAME\nassert len(sys.argv) == 1, sys.argv\n" + STUDY.format(pause=0)
    (place / "sub" / "file.py").write_text(text.replace('"toy"', "NAME"))
    assert hpsearch("run", "sub/file.py", "--trials", 1, "--devices", "inline")[0] == 0
    assert Path("runs/neighbourly").is_dir()


# ---------------------------------------------------------------- report and export


def test_report_writes_one_page(ran: str) -> None:
    code, output, _ = hpsearch("report", "toy")
    assert code == 0
    page = Path(output.strip())
    assert page == Path("runs/toy/report.html").resolve()
    assert "</html>" in page.read_text(encoding="utf-8")
    assert hpsearch("report", "toy", "--output", "elsewhere.html") == (0, "elsewhere.html\n", "")
    assert Path("elsewhere.html").stat().st_size > 1000


def test_export_writes_the_model_and_leaves_what_is_there(ran: str) -> None:
    assert hpsearch("export", "toy", "model") == (0, "model\n", "")
    assert {"README.md", "hpsearch.json", "weights.txt"} <= {path.name for path in Path("model").iterdir()}
    before = Path("model/weights.txt").read_text()
    code, message = error("export", "toy", "model")
    assert code == 2
    assert "--overwrite" in message
    best = int(re.findall(r"best: trial (\d)", ran)[0])
    other = next(number for number in range(3) if number != best)
    assert hpsearch("export", "toy", "model", "--overwrite", "--trial", other)[0] == 0
    assert Path("model/weights.txt").read_text() != before
    assert error("export", "toy", "again", "--trial", 17)[0] == 2
    Path("file").touch()
    assert error("export", "toy", "file") == (2, "hpsearch: file is a file; the model needs a folder of its own.\n")
    assert error("report", "toy", "--output", "file/report.html")[0] == 1


# ---------------------------------------------------------------- real processes


@pytest.mark.slow
def test_ctrl_c_pauses_and_the_command_that_it_prints_goes_on(running: "subprocess.Popen[str]") -> None:
    os.kill(running.pid, signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert "Traceback" not in errors
    assert output.splitlines()[0].startswith("trial")
    assert "running" not in output
    (command,) = re.findall(r"^Paused\. Continue with: (.+)$", errors, re.MULTILINE)
    trials = len(re.findall(r"^\d+ ", output, re.MULTILINE))
    done = subprocess.run(
        ["bash", "-c", f"cd / && {command} --trials {trials + 1} --devices inline"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"\n{trials} " in done.stdout
    assert "waiting" not in done.stdout


@pytest.mark.slow
def test_a_second_coordinator_is_refused_while_reading_is_not(running: "subprocess.Popen[str]") -> None:
    code, message = error("run", "toy_study.py", "--trials", 200, "--devices", "inline")
    assert code == 3
    assert str(running.pid) in message
    assert hpsearch("list")[0] == 0
    code, output, _ = hpsearch("show", "toy")
    assert code == 0
    assert "running" in output
    assert running.poll() is None


@pytest.mark.slow
def test_a_timeout_pauses_and_says_how_to_go_on(place: Path) -> None:
    (place / "toy_study.py").write_text(STUDY.format(pause=0.02))
    started = time.monotonic()
    code, output, errors = hpsearch("run", "toy_study.py", "--trials", 500, "--timeout", "3", "--devices", "inline")
    assert code == 0
    assert time.monotonic() - started < 60
    assert "Continue with:" in errors
    assert "running" not in output
