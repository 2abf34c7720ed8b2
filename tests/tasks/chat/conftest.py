import pytest
from chat_samples import save_chat_model


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Return a function that gives the folder of a tiny model; see `save_chat_model`."""
    made = {}

    def model(kind="llama", style="chatml", **options):
        key = (kind, style, *sorted(options.items()))
        if key not in made:
            made[key] = str(save_chat_model(tmp_path_factory.mktemp(kind), kind, style, **options))
        return made[key]

    return model


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "study-cache"))
