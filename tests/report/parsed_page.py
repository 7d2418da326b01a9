"""A page as its elements and texts, to look things up in it."""

from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """The page's elements, each with its attributes and own text, and whether tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.balanced = True
        self.feed(text)
        self.balanced = self.balanced and not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        self.balanced = self.balanced and bool(self.open) and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def having(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Attributes of the elements with these attribute values."""
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(key) == value for key, value in attributes.items())
        ]

    def titles(self) -> list[str]:
        """What is shown when a cell is pointed at."""
        return [found["title"] for _, found in self.elements if "title" in found]

    def ids(self) -> list[str]:
        """All ids, in order."""
        return [found["id"] for _, found in self.elements if "id" in found]

    def links(self) -> list[str]:
        """The targets of all links, in order."""
        return [found["href"] for tag, found in self.elements if tag == "a"]

    def of(self, tag: str) -> list[str]:
        """The texts directly inside these elements, in order."""
        return [text for name, text in self.texts if name == tag]

    def drawn(self) -> list[str]:
        """What the drawings show, in order."""
        return [found["aria-label"] for found in self.having("svg", role="img")]
