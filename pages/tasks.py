"""Make a page for each task."""


def make() -> dict[str, str]:
    """Return the pages by their paths in the site."""
    return {}
