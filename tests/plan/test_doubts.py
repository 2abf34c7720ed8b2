import pytest

import hpsearch as hp
from hpsearch.plan.doubts import doubtful_settings
from hpsearch.space import Space

UNNAMED = {"batch_size": 32, "epochs": 3, "warmup_ratio": 0.1, "warmup_steps": None}


def doubts(space: Space, rows: tuple[int, ...] = (64, 66)) -> list[str]:
    return list(doubtful_settings(space, UNNAMED, rows))


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (hp.Space(warmup_steps=1000, epochs=2, batch_size=32), "the longest run of the space has 6 steps: every run"),
        (hp.Space(warmup_steps=6, epochs=2, batch_size=32), "rises to 0.83 of learning_rate"),
        (hp.Space(warmup_steps=hp.Int(1, 8), epochs=hp.Int(2, 9)), "the shortest runs of the space have 4 steps"),
        (hp.Space(warmup_steps=hp.Categorical([None, 500])), "warmup_steps=500"),
        (hp.Space(warmup_ratio=1.0, epochs=3), "warmup_ratio=1, and the longest run"),
        (hp.Space(warmup_ratio=hp.Float(0.0, 1.0)), "warmup_ratio=1"),
        (hp.Space(epochs=1, batch_size=64), "warmup_ratio=0.1, and the shortest runs of the space have 1 step:"),
        (hp.Space(batch_size=hp.Categorical([8, 128])), "batch_size=128, and a fold trains on 64 rows"),
    ],
)
def test_what_is_hardly_meant_is_said(space: Space, words: str) -> None:
    assert any(words in text for text in doubts(space)), doubts(space)


@pytest.mark.parametrize(
    "space",
    [
        hp.Space(learning_rate=1e-3),
        hp.Space(warmup_steps=3, epochs=2),
        hp.Space(warmup_steps=hp.Int(1, 3), epochs=hp.Int(2, 4)),
        hp.Space(warmup_ratio=0.0, epochs=1, batch_size=64),
        hp.Space(warmup_ratio=hp.Float(0.0, 0.3), batch_size=hp.Categorical([8, 64]), epochs=2),
    ],
)
def test_of_what_may_be_meant_nothing_is_said(space: Space) -> None:
    assert doubts(space) == []
