"""A page that a notebook shows in a frame of its own."""

from dataclasses import dataclass
from pathlib import Path

HEIGHT = "80vh"  # until the page says how high it is


@dataclass(frozen=True)
class Page:
    """An HTML file: a notebook shows its content, everything else its path.

    Args:
        path: of the file.
    """

    path: Path

    def __repr__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        """Return a frame with the page, whose style and the notebook's do not mix."""
        fit = "this.style.height = this.contentDocument.documentElement.scrollHeight + 'px'"
        # `escape` would replace each < and ", too, and make a notebook half as large again
        page = self.path.read_text(encoding="utf-8").replace("&", "&amp;").replace("'", "&#x27;")
        style = f"width: 100%; height: {HEIGHT}; border: 0"
        return f'''<iframe title="Report" srcdoc='{page}' style="{style}" onload="{fit}"></iframe>'''
