"""How it looks: figures and the page. The only room that knows plotly, which loads when a figure is drawn."""

from hpsearch.report.content import Content
from hpsearch.report.figures import Figures
from hpsearch.report.page import write_page

__all__ = ["Content", "Figures", "write_page"]
