"""The report of a study: one HTML page that opens offline, with everything it needs inside it."""

from pathlib import Path

from hpsearch.report.content import Content
from hpsearch.report.curves_data import curves_data
from hpsearch.report.document import document, figures_data, write_document
from hpsearch.report.figure_sections import contents, drawn, figure_sections, measured
from hpsearch.report.figures import SHOWN_TRIALS
from hpsearch.report.sections import about, configuration, details, header, outcome
from hpsearch.report.trials_section import ended_badly, trials_table


def write_page(path: str | Path, content: Content) -> Path:
    """Write the report of a study, whole or not at all.

    Args:
        path: Where it goes; folders on the way are made, a file that is there is replaced.
        content: What it shows.

    Returns:
        The path.

    Raises:
        UsageError: The path is a folder.
        StoreError: The disk refuses.
    """
    return write_document(path, page(content))


def page(content: Content) -> str:
    """Return the page as text: the answer first, then why, then everything."""
    figures = drawn(content)
    shown = [*figures, *(["epochs"] if measured(content) else [])]
    body = "\n".join(
        [
            header(content),
            outcome(content),
            contents(shown),
            configuration(content),
            figure_sections(content, figures),
            trials_table(content),
            ended_badly(content),
            about(content),
            details(content),
        ]
    )
    data = figures_data(figures)
    return document(content.name, body, {**data, "curves": curves_data(content, content.leading(SHOWN_TRIALS))})
