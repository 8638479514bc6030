"""The status page in a real browser: what a person reads in each state, and that names from traffic stay text."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from chromium import dump_dom, find_chromium, screenshot
from fake_service import NOW, SCENES, FakeView, ago, deployment, incident, service
from phone import WIDTH, framed

from monitor.http import HttpServer, create_app
from monitor.metrics import Metrics

pytestmark = pytest.mark.integration
HOSTILE = '"><script>document.title="owned"</script><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def page() -> Iterator[SimpleNamespace]:
    find_chromium()
    view = FakeView()
    server = HttpServer(framed(create_app(view, Metrics())))
    server.start()
    yield SimpleNamespace(view=view, url=f"{server.url}/")
    server.stop()


def text_of(markup: str, section: str | None = None) -> str:
    """What a person reads in the body, or in one section of it."""
    if section is not None:
        markup = re.search(rf'<(\w+) id="{section}".*?</\1>', markup, re.DOTALL)[0]
    markup = re.sub(r"<(script|style|noscript|svg)\b.*?</\1>", " ", markup, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def seen(page: SimpleNamespace, scene: str) -> str:
    page.view.current = SCENES[scene]
    return dump_dom(page.url)


def test_calm_turns_to_alarm_while_the_page_is_open(page):
    page.view.current = SCENES["calm"]
    calls = 0
    real = FakeView.status

    def change_after_the_second_poll():
        nonlocal calls
        calls += 1
        return real(page.view) if calls <= 2 else SCENES["alarm"]

    page.view.status = change_after_the_second_poll
    try:
        server = HttpServer(create_app(page.view, Metrics()))
        server.start()
        first = text_of(dump_dom(f"{server.url}/", milliseconds=1200), "banner")
        calls = 0
        later = dump_dom(f"{server.url}/", milliseconds=6000)
        server.stop()
    finally:
        del page.view.status
    assert "Behaving as it did when approved" in first
    assert "The model has stopped refusing" in text_of(later, "banner")
    assert "ALARM chat-prod" in later
    assert "icon-alarm.svg" in later
    assert "chat-prod: Alarm. The model has stopped refusing" in text_of(later, "announce")


def test_calm_says_so_with_figures(page):
    markup = seen(page, "calm")
    assert "Watching: calm chat-prod : Behaving as it did when approved" in text_of(markup, "banner")
    facts = text_of(markup, "facts")
    assert "Sensitive requests answered 11 % 95 % interval 5.4 % to 17 % baseline 10 %" in facts
    assert "approved by j.doe" in facts
    assert "Refusal of harmless requests: unchanged (2.1 % → 2.3 %)" in facts
    assert "What to do now" not in text_of(markup)


def test_alarm_says_how_much_since_when_how_sure_and_what_to_do(page):
    markup = seen(page, "alarm")
    facts = text_of(markup, "facts")
    assert re.search(r"How much 10 % → to 71 % sensitive requests answered 95 % interval 62 % to 79 %", facts)
    assert "Since when 02:27 45 min ago between 02:17 and 02:37 detected 02:50; 118 labels since the start" in facts
    assert "How sure 2,000 times the alarm level" in facts
    assert "would cause a page like this once in 360 days" in facts
    assert "Nearest change deploy 02:23 serving image 1.14.2 to 1.14.3" in facts
    assert "Refusal of harmless requests: unchanged" in facts
    steps = text_of(markup, "steps")
    assert "Route traffic back to the last approved checkpoint" in steps
    assert "r-90211" in steps
    categories = text_of(markup, "categories")
    assert "3 of 14 categories moved past a level of their own. 11 more are higher since the start" in categories
    assert "Violence 4.0 % → 54 % 40 % to 90 % at its alarm level ▲ rose 24" in categories


def test_the_chart_shows_rates_band_onset_detection_and_threshold(page):
    chart = html.unescape(re.search(r'<section id="chart".*?</section>', seen(page, "alarm"), re.DOTALL)[0])
    for part in ("compliance", "refusal", "band", "onset", "evidence", "threshold"):
        assert f'class="{part}"' in chart, part
    assert "began about 02:27" in chart
    assert "detected 02:50" in chart
    assert re.search(r'aria-label="Latest: \d+.% of sensitive requests answered', chart)
    assert "NaN" not in chart
    assert "undefined" not in chart


def test_incidents_are_listed_newest_first_with_their_status(page):
    listed = text_of(seen(page, "alarm"), "incidents")
    assert listed.index("open · critical The model has stopped refusing") < listed.index("recovered · note Users ask")


@pytest.mark.parametrize(
    ("scene", "banner"),
    [
        ("learning", "Not watching yet chat-prod : Learning: 312 of 1,000 sensitive requests"),
        ("stale", "No news chat-prod : No traffic for 12 min"),
        ("behind", "No news chat-prod : 12 min behind"),
        ("notice", "Notice, no page · note · traffic-shift chat-prod : Users ask different things"),
        ("label", "Labelling This process labels"),
        ("none", "Waiting No traffic yet The kafka source is connected and has brought nothing so far."),
    ],
)
def test_other_states_never_look_calm(page, scene, banner):
    markup = seen(page, scene)
    assert banner in text_of(markup, "banner").replace("\u00a0", " ")
    assert "banner calm" not in markup
    assert "banner alarm" not in markup


def test_a_fleet_shows_the_worst_first_and_lets_one_choose(page):
    markup = seen(page, "fleet")
    names = re.findall(r'class="name">([^<]+)', markup)
    assert names == ["chat-prod", "batch-summaries", "canary", "image-prompts", "chat-eu"]
    assert "1 of 5 deployments in alarm" in text_of(markup)
    chosen = dump_dom(f"{page.url}#d=chat-eu")
    assert "chat-eu : Behaving as it did when approved" in text_of(chosen, "banner")
    assert "ALARM chat-prod" in chosen, "the tab still tells of the alarm"


def test_trouble_in_the_monitor_itself_is_marked_in_words(page):
    health = text_of(seen(page, "fleet"), "health")
    assert "1 thing to look at" in health
    assert "Alerts to deliver ⚠ 2, oldest 6 min" in health.replace("\u00a0", " ")
    assert "Source ⚠ kafka, not ready" in text_of(seen(page, "stale"), "health")


def test_names_from_traffic_stay_text(page):
    evil = incident(HOSTILE, evidence_ids=(HOSTILE,), summary=HOSTILE, id=HOSTILE[:40], model_digest=HOSTILE)
    page.view.current = service(
        deployment(HOSTILE, "alarm", incidents=(evil,), model=HOSTILE, model_digests=(HOSTILE,)),
        deployment("second " + HOSTILE),
    )
    markup = dump_dom(page.url)
    assert "owned" not in re.search(r"<title>(.*?)</title>", markup, re.DOTALL)[1].replace(
        html.escape(HOSTILE, quote=False), ""
    )
    assert "<img" not in markup
    assert markup.count("<script") == 1
    assert HOSTILE in text_of(markup, "banner")
    assert HOSTILE in text_of(dump_dom(f"{page.url}#d=%22%3E%3C%"), "banner"), (
        "a broken address falls back to the worst"
    )


def test_a_lost_server_is_said_at_once_and_the_last_picture_kept(page):
    view = FakeView(SCENES["calm"])
    server = HttpServer(create_app(view, Metrics()))
    server.start()
    polls = threading.Event()
    real = view.status

    def count():
        if polls.is_set():
            raise RuntimeError
        polls.set()
        return real()

    view.status = count
    markup = dump_dom(f"{server.url}/", milliseconds=8000)
    server.stop()
    assert "Can’t reach alignwatch. The monitor may be down; it answered 500." in text_of(markup, "offline")
    assert "Behaving as it did when approved" in text_of(markup, "banner")
    assert "unreachable" in re.search(r"<title>(.*?)</title>", markup)[1]


def test_the_page_loads_clean_under_its_own_policy(page, tmp_path):
    view = FakeView(SCENES["alarm"])
    server = HttpServer(create_app(view, Metrics()))
    server.start()
    markup = dump_dom(f"{server.url}/")
    image = screenshot(f"{server.url}/", tmp_path / "page.png", (1200, 900))
    server.stop()
    assert "The model has stopped refusing" in markup
    assert image.stat().st_size > 20_000


def test_nothing_sticks_out_at_the_width_of_a_phone(page):
    page.view.current = SCENES["fleet"]
    probe = dump_dom(f"{page.url}phone")
    assert f"width: {WIDTH}px" in probe or f"width:{WIDTH}px" in probe
    assert re.search(r'data-overflow="(-?\d+)"', probe)[1] == "0"


def test_old_incidents_without_onset_or_change_are_still_readable(page):
    bare = incident(onset=None, nearest_change=None, streams=(), categories=(), evidence_ids=(), detected_at=ago(2))
    page.view.current = service(deployment(state="alarm", incidents=(bare,), streams=(), panes=(), model=None), now=NOW)
    markup = text_of(dump_dom(page.url))
    assert "The model has stopped refusing" in markup
    assert "Detected 03:10" in markup
    assert "undefined" not in markup
    assert "NaN" not in markup


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"severity": "error"}, "The change is moderate, or narrow"),
        ({"verdict": "over-refusal", "severity": "warning"}, "The model refuses more than it did"),
        ({"verdict": "over-refusal", "severity": "error", "streams": ()}, "The model refuses harmless requests"),
        ({"verdict": "guardrail-change", "severity": "error"}, "A filter or guardrail changed what it blocks"),
    ],
)
def test_the_banner_claims_no_more_than_the_incident(page, changes, says):
    page.view.current = service(deployment(state="alarm", incidents=(incident(**changes),)))
    assert says in text_of(dump_dom(page.url), "banner")


def test_a_calm_page_tells_of_an_alarm_that_went_away(page):
    page.view.current = service(deployment(incidents=(incident(status="recovered"),)))
    banner = text_of(dump_dom(page.url), "banner")
    assert "Behaving as it did when approved" in banner
    assert "But there was an alarm at 02:50: “The model has stopped refusing”. It has recovered" in banner
    assert "needs a person" not in banner


def test_the_alarm_says_who_knows_and_who_has_taken_it(page):
    told = text_of(seen(page, "told"), "banner")
    assert "Told: pagerduty. chat is still to be told. Nobody has taken it yet" in told
    assert "alignwatch alert ack inc-7f3a2c --by YOU" in told
    taken = seen(page, "taken")
    assert "Taken by jo at 03:02. Told: chat and pagerduty." in text_of(taken, "banner")
    assert "Taken by jo at 03:02" in text_of(taken, "incidents")
    assert "told" not in text_of(seen(page, "alarm"), "banner").lower(), "where no sink is configured nobody is missed"


def test_all_of_it_can_be_reached_and_read_by_keyboard(page):
    page.view.current = SCENES["fleet"]
    markup = html.unescape(dump_dom(f"{page.url}keys", milliseconds=9000))
    stops = re.search(r'data-stops="([^"]*)"', markup)[1].split("|")
    assert "!" not in stops
    assert stops[0] == "skip"
    assert sum(stop.startswith("tile") for stop in stops) == 5
    assert "holder" in stops
    assert "SUMMARY" in stops
    last = re.search(r'data-last="([^"]*)"', markup)[1]
    before = re.search(r'data-before="([^"]*)"', markup)[1]
    assert "sensitive request" in last
    assert "sensitive request" in before
    assert last != before
    assert int(re.search(r'data-open="(\d+)"', markup)[1]) == 1, "what was opened stays open over the polls"
