"""A page in a frame as wide as a phone: headless Chromium itself takes no window narrower than 500 pixels."""

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


def framed(app: ASGIApp) -> ASGIApp:
    """`app`, which may be framed here, and at /phone its page at a phone's width."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/phone":
            await HTMLResponse(PAGE)(scope, receive, send)
            return

        async def unlocked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in ("content-security-policy", "x-frame-options"):
                    del headers[name]
            await send(message)

        await app(scope, receive, unlocked)

    return serve
