"""The page in a frame: as wide as a phone (headless Chromium takes no narrower window), or worked by keys alone."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WIDTH = 375
PAGE = f"""<!doctype html><body style="margin:0">
<iframe src="/" style="border:0;width:{WIDTH}px;height:4000px"></iframe>
<script>
// How far the page is wider than its frame, in pixels; a part that scrolls in itself doesn't count.
setInterval(() => {{
  const frame = document.querySelector("iframe");
  const root = frame.contentDocument.documentElement;
  document.body.dataset.overflow = root.scrollWidth - root.clientWidth;
}}, 200);
</script>"""


KEYS = """<!doctype html><body style="margin:0">
<iframe src="/" style="border:0;width:1200px;height:4000px"></iframe>
<script>
// Walks all that can take the focus, in order, and reads the chart by its arrow keys.
setTimeout(() => {
  const frame = document.querySelector("iframe");
  const page = frame.contentDocument;
  const all = [...page.querySelectorAll("a[href], button, summary, [tabindex='0']")];
  const stops = all.filter((one) => one.offsetParent || one.matches(".skip"));
  const visit = (one) => {
    one.focus();
    return page.activeElement === one ? one.className || one.tagName : "!";
  };
  document.body.dataset.stops = stops.map(visit).join("|");
  const holder = page.querySelector(".holder");
  const press = (key) => holder.dispatchEvent(new frame.contentWindow.KeyboardEvent("keydown", { key }));
  press("End");
  document.body.dataset.last = page.querySelector(".readout").textContent;
  press("ArrowLeft");
  document.body.dataset.before = page.querySelector(".readout").textContent;
  page.querySelector("summary").click();
  setTimeout(() => { document.body.dataset.open = page.querySelectorAll("details[open]").length; }, 3000);
}, 2500);
</script>"""


def framed(app: ASGIApp) -> ASGIApp:
    """`app`, which may be framed here; at /phone its page at a phone's width, at /keys one that is worked by keys."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in {"/phone", "/keys"}:
            await HTMLResponse(PAGE if scope["path"] == "/phone" else KEYS)(scope, receive, send)
            return

        async def unlocked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in ("content-security-policy", "x-frame-options"):
                    del headers[name]
            await send(message)

        await app(scope, receive, unlocked)

    return serve
