"""CoNLL files: a word and its tag a line, an empty line between sentences."""

from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.data.sources import existing
from hpsearch.data.wording import no_rows
from hpsearch.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".conll", ".bio", ".iob", ".iob2")
_DOCUMENT = "-DOCSTART-"


def read_conll(source: Path, words: str, tags: str, role: str) -> "pd.DataFrame":
    """Return the sentences of a file, one a row, its words and its tags as lists in two columns of these names.

    The first column of a line is the word and the last one its tag; lines of documents (-DOCSTART-) and comments ("# ",
    as in CoNLL-U) are left out.

    Raises:
        DataError: There is no such file, it has no sentence, or a line has a single column.
    """
    import pandas as pd

    path = existing(source, role)
    sentences: list[list[tuple[str, str]]] = [[]]
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"the {role} file {path.name!r} is not UTF-8 text: {error}. Save it as UTF-8.") from error
    for number, line in enumerate(lines, start=1):
        columns = line.split()
        if not columns:
            sentences.append([])
        elif columns[0] == _DOCUMENT or (columns[0] == "#" and not sentences[-1]):
            continue
        elif len(columns) < 2:
            raise DataError(
                f"line {number} of the {role} file {path.name!r} has one column, {line.strip()!r}. Each line has a "
                "word and its tag, with a space or a tab between them."
            )
        else:
            sentences[-1].append((columns[0], columns[-1]))
    rows = [sentence for sentence in sentences if sentence]
    if not rows:
        raise no_rows(role, f"file {path.name}")
    return pd.DataFrame(
        {words: [[word for word, _ in row] for row in rows], tags: [[tag for _, tag in row] for row in rows]}
    )
