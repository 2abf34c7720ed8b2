"""Files of a word and its tag a line."""

from pathlib import Path

import pytest

from hpsearch.errors import DataError
from hpsearch.tasks.spans.conll import read_conll


def read(folder: Path, text: str) -> list[tuple[list[str], list[str]]]:
    file = folder / "rows.conll"
    file.write_text(text, encoding="utf-8")
    table = read_conll(file, "words", "tags", "train")
    return list(zip(table["words"], table["tags"], strict=True))


def test_sentences_are_parted_by_empty_lines_and_words_are_first_and_tags_last(tmp_path: Path) -> None:
    found = read(tmp_path, "-DOCSTART- -X- O O\n\nAnn NNP B-NP B-name\nleft VBD O O\n\n \n# text\n# O\nZoë\tB-name\n\n")
    assert found == [(["Ann", "left"], ["B-name", "O"]), (["Zoë"], ["B-name"])]
    assert read(tmp_path, "No O\n# O\n") == [(["No", "#"], ["O", "O"])]  # a word of a sentence


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Ann B-name\nleft\n", "line 2 of the train file 'rows.conll' has one column, 'left'"),
        ("\n\n-DOCSTART- O\n", "has no rows"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_a_file_that_is_not_utf8_or_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "old.bio").write_bytes("Zoë B-name\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"'old.bio' is not UTF-8 text"):
        read_conll(tmp_path / "old.bio", "words", "tags", "test")
    with pytest.raises(DataError, match="does not exist"):
        read_conll(tmp_path / "new.bio", "words", "tags", "test")
