"""One figure of a report: what it draws, whether there is something to draw, and the words beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, overload

from hpsearch.report.content import Content
from hpsearch.report.theme import Figure

P = ParamSpec("P")


class HasContent(Protocol):
    """The figures of a study: whatever has its content."""

    content: Content


@dataclass(frozen=True)
class PageFigure(Generic[P]):
    """A figure, written in a file of its own and named in a line of `Figures`, which makes it a method there.

    Attributes:
        name: Its name on the page, which links lead to.
        heading: Its heading on the page.
        draw: What draws it. Arguments after the content, all optional, are those of the method.
        words: How to read it: the sentences between heading and figure, as plain text; a function where they depend on
            the study.
        alt_text: What it shows of this study, for those who cannot see it, as plain text.
        has_something: Whether this study has something to draw; a figure that has nothing is not on the page. None
            where there always is.
        on_page: What draws it on the page, where that differs from `draw` without arguments.
        template: File in `templates/` that lays it out, where the plain heading, words and figure are not enough.
        heights: Its height in pixels on wide and on narrow pages; None takes that of the figure itself.
        most_width: Its width in pixels at most; None takes the width of the page.
        legend_room: Pixels above the plot, for its legend, on wide and on narrow pages.
    """

    name: str
    heading: str
    draw: Callable[Concatenate[Content, P], Figure]
    words: str | Callable[[Content], str]
    alt_text: Callable[[Content], str]
    has_something: Callable[[Content], bool] | None = None
    on_page: Callable[[Content], Figure] | None = None
    template: str = "figure.html"
    heights: tuple[int, int] | None = None
    most_width: int | None = None
    legend_room: tuple[int, int] = (44, 62)

    def is_wanted(self, content: Content) -> bool:
        """Whether the page of this study has the figure."""
        return self.has_something is None or self.has_something(content)

    def drawn(self, content: Content) -> Figure:
        """Return the figure as the page has it."""
        draw: Callable[[Content], Figure] = self.on_page or self.draw
        return draw(content)

    def reading(self, content: Content) -> str:
        """Return how to read it."""
        return self.words if isinstance(self.words, str) else self.words(content)

    @overload
    def __get__(self, figures: None, owner: type) -> Self: ...
    @overload
    def __get__(self, figures: HasContent, owner: type) -> Callable[P, Figure]: ...
    def __get__(self, figures: HasContent | None, owner: type) -> Any:
        """Return the method of a study's figures that draws this one."""
        return self if figures is None else MethodType(self.draw, figures.content)
