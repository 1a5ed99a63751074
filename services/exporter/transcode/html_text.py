"""The text of HTML, as found in product descriptions: without markup, in one line.

One pass from left to right: its time grows with the length of the text, whatever the text holds.
"""

import html
import re

_BLOCKS = (
    "address article aside blockquote br dd div dl dt figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li main"
    " nav ol option p pre section table td th tr ul"
)
BLOCKS = frozenset(_BLOCKS.split())
"""Elements that begin on a new line, or in a cell of their own; a space stands for them."""
HIDDEN = ("script", "style")

_SPACES = re.compile(r"[ \t\n\r\f]+")
_TAG_NAME = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)")


def html_text(markup: str) -> str:
    """The text of a fragment: entities decoded, spaces and line breaks reduced to single spaces.

    A `<` that does not begin a tag or a comment is text.
    """
    pieces: list[str] = []
    at, size = 0, len(markup)
    while at < size:
        begin = markup.find("<", at)
        if begin < 0:
            begin = size
        pieces.append(html.unescape(markup[at:begin]))
        at = begin
        if begin == size:
            break
        if markup.startswith("<!--", begin):
            at = _after(markup, "-->", begin + 4)
        elif markup.startswith(("<!", "<?"), begin):
            at = _after(markup, ">", begin + 2)
        elif found := _TAG_NAME.match(markup, begin):
            name = found[1].lower()
            at = _after_tag(markup, found.end())
            if name in BLOCKS:
                pieces.append(" ")
            elif name in HIDDEN and markup[begin + 1] != "/":
                at = _after_hidden(markup, name, at)
        else:
            pieces.append("<")
            at += 1
    return _SPACES.sub(" ", "".join(pieces)).strip(" ")


def _after(markup: str, mark: str, at: int) -> int:
    found = markup.find(mark, at)
    return len(markup) if found < 0 else found + len(mark)


_TAG_PARTS = re.compile(r"""[^>"']+|"[^"]*"?|'[^']*'?""")


def _after_tag(markup: str, at: int) -> int:
    """The place after the `>` that ends a tag; one inside quotes does not."""
    while part := _TAG_PARTS.match(markup, at):
        at = part.end()
    return min(at + 1, len(markup))


def _after_hidden(markup: str, name: str, at: int) -> int:
    """The place of the end tag of an element whose content is not text."""
    found = re.compile(f"</{name}", re.IGNORECASE).search(markup, at)
    return len(markup) if found is None else found.start()
