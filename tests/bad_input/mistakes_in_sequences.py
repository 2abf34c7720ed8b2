"""Mistakes in pairs of texts, their lengths and languages, and in metrics of generated texts."""

from pathlib import Path

from mistake import Mistake, World
from sequence_samples import pairs, save_languages_model, save_sequence_model

from hpsearch.errors import DataError, MetricError, TaskError
from hpsearch.tasks.pretrained import quiet


def _task(**arguments: str) -> str:
    given = {"train": '"pairs.csv"', "source": '"en"', "target": '"de"', **arguments}
    return f'hp.SequenceToSequence("translator", {", ".join(f"{name}={value}" for name, value in given.items())})'


def _pairs(*, languages: bool = False, ends: bool = True, **columns: object) -> World:
    """Return a world with a translator and pairs of texts, some columns of which are changed."""

    def write(place: Path) -> None:
        with quiet():
            if languages:
                save_languages_model(place / "translator")
            else:
                save_sequence_model(place / "translator", ends=ends)
        pairs().assign(**columns).to_csv(place / "pairs.csv", index=False)

    return write


TASK, WORLD = _task(), _pairs()

SEQUENCES = [
    Mistake(
        "a target without text",
        ("column 'de' of the train data has no text in 24 of 24 rows", "Remove these rows or fill them in"),
        DataError,
        task=TASK,
        world=_pairs(de=""),
        process=True,
    ),
    Mistake(
        "a source without text",
        ("column 'en' of the train data has no text in 1 of 24 rows: row 3",),
        DataError,
        task=TASK,
        world=_pairs(en=["the film"] * 3 + [" "] + ["the film"] * 20),
    ),
    Mistake(
        "a column of targets that is not there",
        ("'german'", "de"),
        DataError,
        task=_task(target='"german"'),
        world=WORLD,
    ),
    Mistake(
        "targets that are all longer than `max_target_length`",
        ("each of the 24 train targets is longer than max_target_length=2", "Give max_target_length="),
        DataError,
        task=_task(max_target_length="2"),
        world=WORLD,
    ),
    Mistake(
        "more tokens of a target than the model has positions for",
        ("max_target_length=100", "has positions for 64 tokens only"),
        TaskError,
        task=_task(max_target_length="100"),
        world=WORLD,
    ),
    Mistake(
        "a tokenizer that does not end a target",
        ("does not end a target with its end token ('<end>')", "where to stop"),
        TaskError,
        task=TASK,
        world=_pairs(ends=False),
    ),
    Mistake(
        "a language for a model of one pair of languages",
        ("target_language='de_DE'", "has no language codes", "prefix="),
        TaskError,
        task=_task(target_language='"de_DE"'),
        world=WORLD,
    ),
    Mistake(
        "no language for a model of many languages",
        ("source_language= is not given", "en_XX"),
        TaskError,
        task=TASK,
        world=_pairs(languages=True),
    ),
    Mistake(
        "a language code that the tokenizer does not have",
        ("target_language='de'", "Did you mean 'de_DE'?"),
        TaskError,
        task=_task(source_language='"en_XX"', target_language='"de"'),
        world=_pairs(languages=True),
    ),
    Mistake(
        "an encoder where an encoder-decoder is needed",
        ("of type 'bert'", "is no encoder-decoder", "Marian"),
        TaskError,
        task=TASK.replace("translator", "model"),
        world=WORLD,
    ),
    Mistake(
        "a metric of classes for generated texts",
        ("metric 'accuracy' cannot be used on generated texts", "chrf"),
        MetricError,
        task=TASK,
        settings='metric="accuracy"',
        world=WORLD,
    ),
]

GROUPS = {"Texts for texts": SEQUENCES}
