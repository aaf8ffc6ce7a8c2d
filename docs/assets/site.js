// Names for what the theme leaves without one, and parts that a keyboard can scroll; the theme adds some of them later.
const mend = () => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  document.querySelectorAll(".md-code__nav").forEach((each, i) => each.setAttribute("aria-label", `Code ${i + 1}`));
  document.querySelectorAll(".md-typeset pre > code, .md-typeset__scrollwrap").forEach(each => each.tabIndex = 0);
};
new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
mend();
