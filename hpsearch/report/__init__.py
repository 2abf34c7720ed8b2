"""Figures and pages. The only room that knows plotly and jinja2, so it loads only when it is used."""

from hpsearch.report.content import Content
from hpsearch.report.figures import Figures
from hpsearch.report.page import write_page

__all__ = ["Content", "Figures", "write_page"]
