"""Chromium, and what a page must keep to: no message on the console, enough contrast, names, no sideways scrolling."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page

from benchmarks.browser import chromium as chromium

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

CONTRAST = """() => {
  const parse = text => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.unshift(getComputedStyle(each).backgroundColor);
    return layers.map(parse).reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim(), element = texts.currentNode.parentElement;
    if (!text || !element.checkVisibility() || element.closest("script, style")) continue;
    const style = getComputedStyle(element), back = behind(element);
    const ink = over(parse(element.closest("svg") ? style.fill : style.color), back);
    const [a, b] = [light(ink), light(back)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""
NAMELESS = """() => [...document.querySelectorAll("svg, img, button, a, input, select, textarea, summary")]
  .filter(each => each.checkVisibility())
  .filter(each => each.tagName.toLowerCase() === "svg"
    ? !(each.getAttribute("role") === "img" && each.getAttribute("aria-label"))
    : !(each.innerText?.trim() || each.getAttribute("aria-label") || each.hasAttribute("alt") || each.labels?.length))
  .map(each => each.outerHTML.slice(0, 100))"""
SIDEWAYS = """() => document.documentElement.scrollWidth > innerWidth
  ? [...document.querySelectorAll("body *")].filter(each => each.getBoundingClientRect().right > innerWidth)
    .map(each => each.outerHTML.slice(0, 100)).slice(0, 5).concat("sideways")
  : []"""


@contextmanager
def opened(browser: Browser, address: str, size: dict[str, int] = WIDE, **options: Any) -> Iterator[Page]:
    """Open a page; fails at the end if it wrote to the console, raised an error or broke its policy."""
    said: list[str] = []
    with browser.new_context(viewport=size, **options) as context:
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        yield page
        assert said == []


def faults(page: Page) -> list[str]:
    """Name the texts that are hard to read, the parts without a name, and what makes the page scroll sideways."""
    return [fault for script in (CONTRAST, NAMELESS, SIDEWAYS) for fault in page.evaluate(script)]
