from hpsearch.space import Categorical, Float, Int, Separation, Space

SMALL, LARGE = Int(0, 6).when(model="small"), Int(0, 12).when(model="large")
SPACE = Space(
    default={"model": "large", "freeze_layers": 12, "rate": 0.5, "freeze_layers__1": 0},
    model=Categorical(["small", "large", "other"]),
    freeze_layers=[SMALL, LARGE],
    rate=Float(0.0, 1.0),
    freeze_layers__1=Int(0, 1),  # a name that a separate one would have
    epochs=3,
)


def test_each_alternative_has_a_name_of_its_own() -> None:
    separate = Separation(SPACE).space
    assert separate.parameters["freeze_layers__1_"] == SMALL
    assert separate.parameters["freeze_layers__2"] == LARGE
    assert set(separate.parameters) == {"model", "freeze_layers__1_", "freeze_layers__2", "rate", "freeze_layers__1"}
    assert separate.fixed == {"epochs": 3}
    assert separate.default is not None
    assert separate.default["freeze_layers__2"] == 12


def test_there_and_back() -> None:
    separation = Separation(SPACE)
    for model, layers in (("small", {"freeze_layers": 6}), ("large", {"freeze_layers": 6}), ("other", {})):
        params = {"model": model, **layers, "rate": 0.5, "freeze_layers__1": 1}
        there = separation.separated(params)
        assert "freeze_layers" not in there
        assert separation.space.contains(there)
        assert separation.joined(there) == params
