"""Texts for texts: translation and summarisation with an encoder-decoder."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from hpsearch.data.audit import audit, check_texts
from hpsearch.data.dataset import Dataset, open_dataset
from hpsearch.data.fingerprint import fingerprint_table
from hpsearch.data.folds import Holdout
from hpsearch.data.ragged import Rows
from hpsearch.data.sources import read_table
from hpsearch.errors import TaskError
from hpsearch.tasks.base import Prepared, Split
from hpsearch.tasks.generation.judge import AnswerTextJudge
from hpsearch.tasks.judge import Judge
from hpsearch.tasks.pretrained_task import PretrainedTask, whole_number
from hpsearch.tasks.sources import Source

if TYPE_CHECKING:
    import torch
    from torch import nn

    from hpsearch.tasks.generation.sequence_encoder import SequenceEncoder
    from hpsearch.tasks.generation.sequence_learner import SequenceLearner
    from hpsearch.tasks.pretrained import Pretrained
    from hpsearch.tasks.stranger import Answers

DEFAULT_ANSWER = 128


@dataclass(frozen=True, eq=False)
class SequenceToSequence(PretrainedTask):
    """Fine-tune an encoder-decoder (Marian, T5, BART, mBART and their like) to write a text for a text.

    The loss is that of a token of the targets, their end token included. Metrics of generated texts ("chrf", "bleu",
    "rouge_l", "exact_match", or a function of references and texts) are measured after each quarter of a run, for
    generating takes time; the texts are greedy. Code that comes with a model is not run.

    Attributes:
        source: The column of texts that the model reads.
        target: The column of texts that it is to write.
        source_language: The code of the sources' language, where the tokenizer has codes ("en_XX" of mBART, "en" of
            M2M100, "eng_Latn" of NLLB). None for models of one pair of languages.
        target_language: The same of the targets.
        prefix: What stands before every source: "translate English to German: " for T5, ">>deu<< " for a Marian model
            of several languages.
        max_source_length: Most tokens of a source; longer ones are cut, and `Prepared.warnings` says so. None: the
            limit of model and tokenizer, up to 512.
        max_target_length: The same of a target, its end token included. None: 128, or what the model has positions for.
        max_new_tokens: Most tokens of a generated text. None: `max_target_length`.
    """

    source: str = field(default="source", kw_only=True)
    target: str = field(default="target", kw_only=True)
    source_language: str | None = field(default=None, kw_only=True)
    target_language: str | None = field(default=None, kw_only=True)
    prefix: str = field(default="", kw_only=True)
    max_source_length: int | None = field(default=None, kw_only=True)
    max_target_length: int | None = field(default=None, kw_only=True)
    max_new_tokens: int | None = field(default=None, kw_only=True)

    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"
    judge_class: ClassVar[type[Judge]] = AnswerTextJudge
    default_cv: ClassVar[Any] = Holdout(0.1)

    def __post_init__(self) -> None:
        for name in ("source", "target"):
            if not isinstance(getattr(self, name), str):
                raise TaskError(f"{name}={getattr(self, name)!r}: give the name of a column of texts.")
        if self.label not in (None, self.target):
            raise TaskError(f"label={self.label!r}: the texts that the model is to write are named by target=.")
        self._set("label", self.target)
        for name in ("source_language", "target_language"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TaskError(f"{name}={value!r}: give a language code of the model's tokenizer, or None.")
        if not isinstance(self.prefix, str):
            raise TaskError(f"prefix={self.prefix!r}: give a text.")
        for name in ("max_source_length", "max_target_length", "max_new_tokens"):
            if getattr(self, name) is not None:
                self._set(name, whole_number(getattr(self, name), name, 1))
        self._set("keep_head", self.pretrained)  # the last layer is as pretrained as all the others
        super().__post_init__()

    @property
    def _answer_tokens(self) -> int:
        return self.max_new_tokens or self.max_target_length or DEFAULT_ANSWER

    def _literature(self) -> Mapping[str, Any]:
        """Return values between those of BART's fine-tuning and of T5's.

        BART is fine-tuned with Adam at 3e-5 (Lewis et al. 2020, and their published recipe of CNN/DailyMail: decay
        0.01, norm 0.1, 500 steps of warmup of 20,000, label smoothing 0.1), mBART at 3e-5 with smoothing 0.2 (Liu et
        al. 2020, section 3.2), T5 with Adafactor at a constant 1e-3 (Raffel et al. 2020, section 3.1.2). 5e-5 is the
        usual one for Marian and BART with AdamW; for T5 search up to 1e-3.
        """
        return {
            "learning_rate": 5e-5,
            "batch_size": 32,
            "epochs": 3,
            "weight_decay": 0.01,
            "warmup_ratio": 0.05,
            "label_smoothing_factor": 0.1,
        }

    def _learned(self, _targets: Any) -> Judge:
        return AnswerTextJudge(self._answer_tokens)

    def _input_columns(self) -> list[str]:
        return [self.source]

    def _read(self, source: Source, role: Split) -> Any:
        rows: Any = source.value
        return read_table(rows, role, columns=self._columns(), names=self._names(), texts=[self.source, self.target])

    def _fingerprint(self, rows: Any) -> str:
        return fingerprint_table(rows, [name for name in self._columns() if name in rows.columns])

    def _audit(self, train: Any, test: Any, role: Split = "test") -> list[str]:
        def read_targets() -> tuple[Rows, list[str]]:
            check_texts(train, [self.source, self.target], "train")
            return AnswerTextJudge().encode(train[self.target].tolist()), []

        return audit(
            train,
            test,
            read_targets=read_targets,
            text=[self.source, self.target],
            group=self.group,
            sample_weight=self.sample_weight,
            role=role,
        )

    def _encoder(self, train: Any) -> "SequenceEncoder":
        from hpsearch.tasks.generation.sequence_encoder import SequenceEncoder

        return SequenceEncoder(
            str(self.model),
            self.auto_class,
            (self.source, self.target),
            languages=(self.source_language, self.target_language),
            prefix=self.prefix,
            max_source_length=self.max_source_length,
            max_target_length=self.max_target_length,
        )

    def _learner(self, dataset: Dataset, pretrained: "Pretrained") -> "SequenceLearner":
        from hpsearch.tasks.generation.sequence_learner import SequenceLearner

        return SequenceLearner(dataset, pretrained)

    # ------------------------------------------------------------------ export

    def save(self, model: "nn.Module", folder: Path, prepared: Prepared) -> None:
        """Write model, tokenizer, the settings that it generates with, and a predict.py that reads them."""
        from hpsearch.tasks.generation.sequence_learner import answer_settings
        from hpsearch.tasks.generation.stranger import write_script
        from hpsearch.tasks.padding import put_in_force
        from hpsearch.tasks.pretrained import save_model
        from hpsearch.tasks.tokens import load_tokenizer

        facts, trained = open_dataset(prepared.folder).facts, cast(Any, model)
        tokenizer = load_tokenizer(prepared.source or str(self.model), trained.config)
        put_in_force(tokenizer, model, facts, has_types=False)
        if facts["languages"][0] is not None:
            tokenizer.src_lang, tokenizer.tgt_lang = facts["languages"]
            tokenizer.init_kwargs |= {"src_lang": tokenizer.src_lang, "tgt_lang": tokenizer.tgt_lang}
        own = trained.generation_config
        trained.generation_config = answer_settings(model, facts, self._answer_tokens)
        try:
            save_model(model, tokenizer, folder)
        finally:
            trained.generation_config = own
        write_script(folder, self.prefix)

    def how_to_call(self, prepared: Prepared) -> str:
        return "\n".join(
            [
                "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer\n",
                'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")',
                'model = AutoModelForSeq2SeqLM.from_pretrained("path/to/this/folder")',
                *([f"texts = [{self.prefix!r} + text for text in texts]"] if self.prefix else []),
                'inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")',
                "tokenizer.batch_decode(model.generate(**inputs), skip_special_tokens=True)",
            ]
        )

    def _inputs(self, rows: Any, places: np.ndarray, prepared: Prepared) -> list[Any]:
        texts: list[Any] = rows[self.source].iloc[places].tolist()
        return texts

    def scored_predictions(
        self,
        model: "nn.Module",
        prepared: Prepared,
        config: Mapping[str, Any],
        *,
        split: Split,
        rows: np.ndarray,
        kept: Rows,
        device: "torch.device",
    ) -> Any:
        """Return the texts that a trained model writes for some rows, in float32 as they are scored."""
        from hpsearch.training.numerics import Numerics
        from hpsearch.training.prediction import predict

        predictions = prepared.judge.predictions(kept)
        if predictions.texts is not None:
            return predictions
        learner = self.learner(prepared, split, config).for_answers()
        return prepared.judge.predictions(predict(model, learner, rows, Numerics(), device))

    def exported_answers(
        self,
        folder: Path,
        prepared: Prepared,
        config: Mapping[str, Any],
        *,
        split: Split,
        rows: np.ndarray,
        device: "torch.device",
    ) -> "Iterator[Answers]":
        from hpsearch.tasks.generation.stranger import script_answers
        from hpsearch.tasks.stranger import mixed

        judge = cast(AnswerTextJudge, prepared.judge)
        texts = self._inputs(self._rows_of(split), rows, prepared)
        batches = mixed(self.learner(prepared, split).lengths[rows])
        yield from script_answers(folder, judge, texts, batches, device)
