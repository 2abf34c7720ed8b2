"""Figures and pages. Only this room imports plotly and jinja2, so it loads only when used."""

from hpsearch.report.content import Content
from hpsearch.report.figures import Figures
from hpsearch.report.page import write_page

__all__ = ["Content", "Figures", "write_page"]
