"""Tiny learners for the fine-tune's tests: made-up rows, small models that hold every kind of state there is."""

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hpsearch.data.ragged import Ragged, Rows, to_bytes
from hpsearch.training.base_model import BaseModel
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.measurement import Measurement, weighted_mean
from hpsearch.training.numerics import Numerics, detect_environment
from hpsearch.training.run_checkpoint import FACTS, TENSORS

torch.set_num_threads(1)

HAS_BF16 = bool(detect_environment("cpu")["bf16"])
PRECISIONS = ("fp32", "bf16") if HAS_BF16 else ("fp32",)
CPU = torch.device("cpu")
CLASSES = 3
VOCABULARY = 40


class Layer(nn.Module):
    """Self-attention and a feed-forward net, each with dropout and a norm behind it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(0.1)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        rows, length, width = hidden.shape
        split = self.query_key_value(hidden).view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        mixed = self.output(mixed.transpose(1, 2).reshape(rows, length, width))
        hidden = self.attention_norm(hidden + self.dropout(mixed))
        return self.norm(hidden + self.dropout(self.outer(functional.gelu(self.inner(hidden)))))


class Encoder(nn.Module):
    """Two layers over embeddings, a pretrained pooler, and a head; `noise` adds numpy's and Python's random numbers."""

    def __init__(self, width: int, heads: int, noise: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, width, padding_idx=0)
        self.embedding_norm = nn.LayerNorm(width)
        self.embeddings = nn.ModuleDict({"words": self.words, "norm": self.embedding_norm})
        self.layers = nn.ModuleList([Layer(width, heads), Layer(width, heads)])
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(width, CLASSES)
        self.never_used = nn.Linear(2, 2)
        self.noise = noise

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        hidden = self.embedding_norm(self.words(tokens))
        for layer in self.layers:
            hidden = layer(hidden, mask)
        if self.training and self.noise:
            hidden = hidden + 0.01 * np.random.randn() + 0.01 * random.random() + 0.01 * random.gauss(0.0, 1.0)
        return self.classifier(self.dropout(torch.tanh(self.pooler(hidden[:, 0]))))


class Convolutions(nn.Module):
    """Two convolutions with batch normalization, whose statistics are buffers that training changes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.stage = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.ReLU())
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(8, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.stage(self.stem(pixels)).mean(dim=(2, 3))
        return self.classifier(self.dropout(hidden))


class TinyLearner:
    """What all of the learners here share: targets, weights, losses, and dropout set on every `nn.Dropout`."""

    def __init__(self, rows: int = 22, weighted: bool = False) -> None:
        generator = np.random.default_rng(7)
        self._lengths = generator.integers(3, 40, rows)
        self._targets = torch.from_numpy(generator.integers(0, CLASSES, rows))
        self._weights = torch.from_numpy(generator.uniform(0.5, 2.0, rows).astype(np.float32)) if weighted else None
        self.loads = 0

    @property
    def lengths(self) -> np.ndarray:
        return self._lengths

    def build(self) -> nn.Module:
        raise AssertionError("a learner builds its own model")

    def load_model(self) -> nn.Module:
        self.loads += 1
        torch.manual_seed(1234)
        return self.build().eval()

    def initialize_head(self, model: nn.Module) -> None:
        classifier: Any = model.classifier
        nn.init.normal_(classifier.weight, std=0.02)
        nn.init.zeros_(classifier.bias)

    def configure(self, model: nn.Module, config: Mapping[str, Any]) -> None:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                own = module.__dict__.setdefault("own", module.p)
                module.p = own if config.get("dropout") is None else config["dropout"]

    def layers(self, model: nn.Module) -> Sequence[Sequence[nn.Module]]:
        raise AssertionError("a learner knows its own layers")

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        raise AssertionError("a learner makes its own batches")

    def targets(self, rows: np.ndarray) -> Tensor:
        return self._targets[rows]

    def truth(self, rows: np.ndarray) -> np.ndarray:
        return self.targets(rows).numpy()

    def weights(self, rows: np.ndarray) -> Tensor | None:
        return None if self._weights is None else self._weights[rows]

    def for_answers(self) -> Self:
        return self

    def sample_weights(self, rows: np.ndarray) -> np.ndarray | None:
        return None if self._weights is None else self._weights[rows].numpy()

    def outputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        return model(**batch)

    def losses(self, logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        return functional.cross_entropy(logits, targets, reduction="none", label_smoothing=label_smoothing)

    def fitted(self, rows: np.ndarray) -> Self:
        return self

    def keep(self, outputs: Tensor, batch: Mapping[str, Tensor], *_: Any) -> Tensor | Sequence[Tensor]:
        return outputs.float()

    def mean_loss(self, kept: Rows, rows: np.ndarray) -> float:
        losses = self.losses(torch.as_tensor(kept), self.targets(rows), 0.0)
        return weighted_mean(losses, self.weights(rows))

    def own_units(self, kept: Rows) -> Rows:
        return kept


class TextLearner(TinyLearner):
    """Token sequences of many lengths for `Encoder`."""

    def __init__(
        self, rows: int = 22, *, weighted: bool = False, noise: bool = False, width: int = 16, heads: int = 2
    ) -> None:
        super().__init__(rows, weighted)
        self._noise, self._width, self._heads = noise, width, heads
        generator = np.random.default_rng(8)
        self._tokens = [generator.integers(1, VOCABULARY, length) for length in self._lengths]

    def build(self) -> nn.Module:
        return Encoder(self._width, self._heads, self._noise)

    def layers(self, model: Any) -> Sequence[Sequence[nn.Module]]:
        return [[model.embeddings], *([layer] for layer in model.layers)]

    def padded(self, rows: np.ndarray, padding_multiple: int) -> tuple[Tensor, Tensor]:
        longest = max(int(self._lengths[row]) for row in rows)
        width = -(-longest // padding_multiple) * padding_multiple
        tokens = torch.zeros(len(rows), width, dtype=torch.int64)
        for index, row in enumerate(rows):
            tokens[index, : self._lengths[row]] = torch.from_numpy(self._tokens[row])
        return tokens, tokens != 0

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        tokens, mask = self.padded(rows, padding_multiple)
        return {"tokens": tokens, "mask": mask}


class BertLearner(TextLearner):
    """The same rows for transformers' BERT, made from a config."""

    def build(self) -> nn.Module:
        from transformers import BertConfig, BertForSequenceClassification

        config = BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=self._width,
            num_hidden_layers=2,
            num_attention_heads=self._heads,
            intermediate_size=2 * self._width,
            max_position_embeddings=64,
            num_labels=CLASSES,
        )
        return BertForSequenceClassification(config)

    def layers(self, model: Any) -> Sequence[Sequence[nn.Module]]:
        return [[model.bert.embeddings], *([layer] for layer in model.bert.encoder.layer)]

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        tokens, mask = self.padded(rows, padding_multiple)
        return {"input_ids": tokens, "attention_mask": mask.long()}

    def outputs(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        return model(**batch).logits


class ImageLearner(TinyLearner):
    """Small pictures for `Convolutions`."""

    def __init__(self, rows: int = 22, *, weighted: bool = False) -> None:
        super().__init__(rows, weighted)
        self._lengths = np.ones(rows, dtype=np.int64)
        self._pixels = torch.from_numpy(np.random.default_rng(9).normal(size=(rows, 1, 8, 8)).astype(np.float32))

    def build(self) -> nn.Module:
        return Convolutions()

    def layers(self, model: Any) -> Sequence[Sequence[nn.Module]]:
        return [[model.stem], [model.stage]]

    def batch(self, rows: np.ndarray, padding_multiple: int) -> dict[str, Tensor]:
        return {"pixels": self._pixels[rows]}


class _Tagger(Encoder):
    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        hidden = self.embedding_norm(self.words(tokens))
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return self.classifier(self.dropout(hidden))


class TagLearner(TextLearner):
    """The class of each token, which its neighbours decide; kept are the logits of a row's own tokens."""

    inputs_are_fixed = True

    def build(self) -> nn.Module:
        return _Tagger(self._width, self._heads, self._noise)

    def targets(self, rows: np.ndarray) -> Tensor:
        """Return int64 (rows, tokens of the longest of all rows), -100 behind a row's end."""
        tags = torch.full((len(rows), int(self._lengths.max())), -100)
        for index, row in enumerate(rows):
            tokens = torch.from_numpy(self._tokens[row])
            tags[index, : len(tokens)] = (tokens + tokens.roll(1)) % CLASSES
        return tags

    def losses(self, logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        length = min(logits.shape[1], targets.shape[1])
        logits, targets = logits[:, :length].transpose(1, 2), targets[:, :length]
        each = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=label_smoothing)
        return each.sum(dim=1) / (targets >= 0).sum(dim=1)

    def keep(self, outputs: Tensor, batch: Mapping[str, Tensor], *_: Any) -> list[Tensor]:
        return [row[own].float() for row, own in zip(outputs, batch["mask"], strict=True)]

    def mean_loss(self, kept: Rows, rows: np.ndarray) -> float:
        assert isinstance(kept, Ragged)
        logits = [torch.from_numpy(kept.row(index))[None] for index in range(len(kept))]
        losses = [self.losses(logits[index], self.targets(rows[[index]]), 0.0) for index in range(len(rows))]
        return weighted_mean(torch.cat(losses), self.weights(rows))


class LengthLearner(TextLearner):
    """A row's length, as a number that is standardised on the rows that a run trains on."""

    inputs_are_fixed = True

    def __init__(self, rows: int = 22, *, weighted: bool = False, mean: float = 0.0, deviation: float = 1.0) -> None:
        super().__init__(rows, weighted=weighted)
        self.mean, self.deviation = mean, deviation

    def fitted(self, rows: np.ndarray) -> Self:
        learner = copy.copy(self)
        learner.mean, learner.deviation = float(self._lengths[rows].mean()), float(self._lengths[rows].std())
        return learner

    def targets(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy((self._lengths[rows] - self.mean) / self.deviation).float()

    def losses(self, logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        return (logits[:, 0] - targets) ** 2

    def own_units(self, kept: Rows) -> np.ndarray:
        assert isinstance(kept, np.ndarray)
        return kept[:, :1].astype(np.float64) * self.deviation + self.mean


class LoudLearner(TextLearner):
    """Losses so great that in fp16 the gradients of the first steps overflow under the scale that GradScaler begins
    with, and under some of its halves."""

    def losses(self, logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        return 48.0 * super().losses(logits, targets, label_smoothing)


LEARNERS: dict[str, Callable[..., TinyLearner]] = {"text": TextLearner, "image": ImageLearner, "bert": BertLearner}

CONFIG: dict[str, Any] = {
    "learning_rate": 3e-3,
    "batch_size": 6,
    "epochs": 2,
    "weight_decay": 0.1,
    "warmup_ratio": 0.2,
    "lr_scheduler_type": "linear",
    "label_smoothing_factor": 0.1,
    "dropout": 0.2,
}
"""3 steps an epoch over 16 training rows, the last batch smaller."""

TRAIN_ROWS = np.array([0, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 18, 19, 20])
HELD_OUT_ROWS = np.array([21, 1, 5, 9, 13, 17])


def numerics(precision: str = "fp32", micro_batch: int | None = None, padding_multiple: int = 16) -> Numerics:
    return Numerics(precision=precision, micro_batch=micro_batch, padding_multiple=padding_multiple)  # type: ignore[arg-type]


def fine_tune(
    learner: TinyLearner,
    config: Mapping[str, Any] | None = None,
    *,
    base: BaseModel | None = None,
    computing: Numerics | None = None,
    seed: int = 5,
    evaluations_per_epoch: int = 2,
    held_out_rows: np.ndarray | None = HELD_OUT_ROWS,
) -> FineTune:
    return FineTune(
        learner,
        {**CONFIG, **(config or {})},
        train_rows=TRAIN_ROWS,
        held_out_rows=held_out_rows,
        seed=seed,
        evaluations_per_epoch=evaluations_per_epoch,
        numerics=computing or numerics(),
        device=CPU,
        base=base or BaseModel(learner, CPU),
    )


def measured(run: FineTune, stop: int | None = None) -> list[Measurement]:
    """Advance to `stop`, or to the end, and return what was measured."""
    return [item for item in run.advance(run.horizon if stop is None else stop) if item is not None]


def numbers(measurement: Measurement) -> dict[str, Any]:
    """Return what of a measurement is equal between equal runs, as bytes and numbers."""
    values = {name: getattr(measurement, name) for name in measurement.__dataclass_fields__}
    del values["seconds"], values["peak_memory_bytes"]
    kept: Rows | None = values["outputs"]
    if isinstance(kept, np.ndarray):
        values["outputs"] = kept.shape, kept.dtype.str, kept.tobytes()
    elif kept is not None:
        values["outputs"] = len(kept), kept.elements.dtype.str, to_bytes(kept)
    return values


def everything(run: FineTune) -> dict[str, Any]:
    """Return the whole state of a run: all weights and buffers, and what its checkpoint holds, but for the seconds."""
    files = run.checkpoint()
    weights = {name: (tensor.dtype, tensor.clone()) for name, tensor in run.model.state_dict().items()}
    return {"weights": weights, "tensors": files[TENSORS], "facts": without_seconds(files[FACTS])}


def without_seconds(facts: bytes) -> dict[str, Any]:
    import json

    return {name: value for name, value in json.loads(facts).items() if name != "seconds"}


def assert_same_state(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    assert one["facts"] == other["facts"]
    assert one["tensors"] == other["tensors"]
    assert one["weights"].keys() == other["weights"].keys()
    for name, (dtype, tensor) in one["weights"].items():
        assert dtype == other["weights"][name][0]
        assert torch.equal(tensor, other["weights"][name][1]), name


def assert_resumes_after_every_step(kind: str, config: Mapping[str, Any], precision: str) -> FineTune:
    """Assert that a run left after every step, and continued in another model, is the straight one; return that."""
    bases = [BaseModel(LEARNERS[kind](), CPU) for _ in range(2)]

    def run(turn: int) -> FineTune:
        base = bases[turn % 2]
        learner: Any = base.learner
        return fine_tune(learner, config, base=base, computing=numerics(precision))

    straight = run(0)
    expected = measured(straight)
    state = everything(straight)
    found: list[Measurement] = []
    files = None
    for turn in range(1, 40):
        resumed = run(turn)
        if files is not None:
            resumed.restore(files)
        if resumed.point == resumed.horizon:
            break
        found += [item for item in [next(resumed.advance(resumed.horizon))] if item is not None]
        files = resumed.checkpoint()
    assert_same_measurements(expected, found)
    assert_same_state(state, everything(resumed))
    return resumed


def assert_same_measurements(one: Sequence[Measurement], other: Sequence[Measurement]) -> None:
    assert [numbers(item) for item in one] == [numbers(item) for item in other]
