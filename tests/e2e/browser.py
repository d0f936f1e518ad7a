"""A real Chromium, driven by Playwright, that notes what a page must not do: errors on the console,
and requests to anywhere but its own server."""

import re
import shutil
import time
import urllib.parse

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]


class Held:
    """Requests that the browser has not sent yet."""

    def __init__(self, page):
        self.page, self.routes, self.open = page, [], False

    def wait(self, count=1):
        """Until there are so many."""
        end = time.monotonic() + 10
        while len(self.routes) < count:
            assert time.monotonic() < end, f"{len(self.routes)} of {count} requests came"
            self.page.wait_for_timeout(20)

    def take(self, route):
        if self.open:
            route.continue_()
        else:
            self.routes.append(route)

    def release(self):
        """Sends them, and those that come later at once."""
        self.open = True
        for route in self.routes:
            route.continue_()
        self.routes.clear()


class Tab:
    """One page in a context of its own. Attributes that are not here are Playwright's page's."""

    def __init__(self, browser, origin, **options):
        self.origin = origin
        self.context = browser.new_context(base_url=origin, viewport={"width": 1200, "height": 900}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.errors, self.addresses = [], []
        self.page.on("console", lambda message: message.type in ("error", "warning")
                     and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.addresses.append(request.url))

    def __getattr__(self, name):
        return getattr(self.page, name)

    def sees(self, selector, text, wait=10_000):
        """Waits until the element's visible text matches the regular expression."""
        self.page.wait_for_function(
            "([selector, text]) => [...document.querySelectorAll(selector)].some(node => node.checkVisibility()"
            " && new RegExp(text).test(node.innerText))", arg=[selector, text], timeout=wait)

    def until(self, expression, wait=10_000):
        """Waits until it is true. As a function: the pages' policy forbids the evaluation of text."""
        self.page.wait_for_function(f"() => {expression}", timeout=wait)

    def hold(self, address, when=lambda request: True):
        """Keeps requests to addresses of that pattern back, until they are released."""
        held = Held(self.page)
        self.page.route(address, lambda route: held.take(route) if when(route.request) else route.fallback())
        return held

    def check(self, allow=None):
        """Nothing went wrong but what the regular expression allows, and nobody else was asked."""
        wrong = [error for error in self.errors if not (allow and re.search(allow, error))]
        assert not wrong, wrong
        own = urllib.parse.urlsplit(self.origin).netloc
        foreign = [url for url in self.addresses
                   if not url.startswith(("data:", "blob:")) and urllib.parse.urlsplit(url).netloc != own]
        assert not foreign, foreign

    def overflow(self):
        """Pixels by which the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def contrasts(self):
        """The lowest contrast of text with the ground under it, and where (WCAG 2's relative luminance)."""
        return self.page.evaluate(CONTRAST)

    def close(self):
        self.context.close()


CONTRAST = """() => {
  const rgb = text => { const n = text.match(/[\\d.]+/g).map(Number); return [...n.slice(0, 3), n[3] ?? 1]; };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = node => { const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(rgb(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255, 1]); };
  let worst = {ratio: 99, text: ""};
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !node.checkVisibility() || node.closest('.hidden-text, :disabled, noscript, .skip')) continue;
    const under = ground(node), style = getComputedStyle(node);
    const ink = over(rgb(node instanceof SVGElement ? style.fill : style.color), under);
    const [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst.ratio) worst = {ratio, text: walk.currentNode.data.trim().slice(0, 60)};
  }
  return worst;
}"""
