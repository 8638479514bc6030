"""The status page in a real browser: with and without scripts, by keyboard, on a phone, and while things change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from browser import Browser
from fake_service import SCENES, FakeView, deployment, incident, service

from monitor.http import HttpServer, create_app
from monitor.metrics import Metrics

pytestmark = pytest.mark.integration
HOSTILE = '"><script>document.title="owned"</script><img src=x onerror=alert(1)>'
BANNER = "document.querySelector('#banner').textContent"
PLOT_AT = """(() => {
  const { left, top } = document.querySelector("#plots").getBoundingClientRect();
  return [left + 400, top + 100];
})()"""
LETTERS = """(() => {
  const plot = [...document.querySelectorAll("svg.plot")].find((one) => one.getClientRects().length);
  return 12 * plot.getBoundingClientRect().width / plot.viewBox.baseVal.width;
})()"""
PLAIN = "document.querySelector('main').textContent.replace(/\\s+/g, ' ')"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    one = Browser()
    yield one
    one.close()


@pytest.fixture(scope="module")
def served() -> Iterator[SimpleNamespace]:
    view = FakeView()
    server = HttpServer(create_app(view, Metrics()))
    server.start()
    yield SimpleNamespace(view=view, url=f"{server.url}/")
    server.stop()


def test_calm_turns_to_alarm_and_back_while_the_page_is_open(browser, served):
    served.view.current = SCENES["calm"]
    with browser.page() as page:
        page.open(served.url)
        assert "Behaving as it did when approved" in page.text("#banner")
        served.view.current = SCENES["alarm"]
        page.until(f"{BANNER}.includes('The model has stopped refusing')")
        assert page.run("document.title") == "ALARM chat-prod · alignwatch"
        assert page.run("document.querySelector('#icon').href").endswith("icon-alarm.svg")
        assert page.text("#announce") == "chat-prod: Alarm. The model has stopped refusing"
        assert page.run("!!document.querySelector('#steps')")
        served.view.current = SCENES["calm"]
        page.until(f"{BANNER}.includes('Behaving as it did when approved')")
        assert page.run("document.querySelector('#steps') === null")
        assert page.faults() == []


@pytest.mark.parametrize("scene", ["calm", "alarm", "taken", "learning", "stale", "fleet", "none"])
def test_without_scripts_the_same_facts_are_there(browser, served, scene):
    served.view.current = SCENES[scene]
    with browser.page() as page:
        page.open(served.url).until("document.querySelector('#pulse').textContent.startsWith('live')")
        scripted = page.run(PLAIN)
    with browser.page(scripting=False) as page:
        page.open(served.url)
        assert page.run(PLAIN) == scripted
        assert page.text("#pulse") == "as of 2026-11-24 03:12:30 UTC"
        assert page.run(
            "[...document.querySelectorAll('svg.plot')].filter((one) => one.getClientRects().length).length"
        ) == (0 if scene == "none" else 1), "one plot is on show"
        assert page.run("getComputedStyle(document.querySelector('body')).maxWidth") == "1120px", "the style came"
        assert page.faults() == []


def test_a_deployment_is_reached_by_its_link_without_scripts(browser, served):
    served.view.current = service(deployment("a/../b?c#d&e"), deployment("chat-prod", "alarm"))
    with browser.page(scripting=False) as page:
        page.open(served.url)
        for _ in range(4):
            page.press("Tab")
        assert page.focused().startswith("a: a/../b?c#d&e")
        page.press("Enter")
        page.until("location.pathname === '/deployment'")
        page.until(f"document.readyState === 'complete' && {BANNER}.includes('a/../b?c#d&e')")
        assert "Behaving as it did when approved" in page.text("#banner")


def test_all_of_it_is_walked_by_real_keys_and_a_refresh_leaves_the_walker_in_peace(browser, served):
    served.view.current = SCENES["alarm"]
    with browser.page(size=(1280, 700)) as page:
        page.open(served.url).until("document.querySelector('#plots').tabIndex === 0")
        stops = []
        for _ in range(9):
            page.press("Tab")
            stops.append(page.focused())
        assert [stop.split(":")[0] for stop in stops] == [
            "a", "a", "div#plots", "summary", "summary", "summary", "a", "a", "body",
        ]  # fmt: skip
        assert stops[0] == "a: Skip to the findings"
        assert stops[5].startswith("summary: recovered · note Users ask")
        for _ in range(3):
            page.press("Tab", shift=True)
        assert page.focused() == stops[5]
        page.press("Tab", shift=True)
        page.press("Enter")
        assert page.run("document.querySelector('#incidents details').open")
        scrolled = page.run("scrollY")
        assert scrolled > 500
        page.run("window.kept = document.activeElement, window.plot = document.querySelector('svg.plot'), 1")
        more = SCENES["alarm"].deployments[0].model_copy(update={"incidents": (incident(summary="Now it is worse."),)})
        served.view.current = service(more)
        page.until("document.querySelector('#incidents').textContent.includes('Now it is worse.')")
        assert page.run("document.activeElement === window.kept && document.activeElement.tagName === 'SUMMARY'")
        assert page.run("document.querySelector('#incidents details').open"), "what was opened stays open"
        assert page.run("document.querySelector('svg.plot') === window.plot"), "what has not changed is not drawn anew"
        assert page.run("scrollY") == scrolled
        assert page.run("document.querySelectorAll('.incidents > li').length") == 1, "and what is gone is gone"


def test_the_skip_link_leads_to_the_findings(browser, served):
    served.view.current = SCENES["fleet"]
    with browser.page() as page:
        page.open(served.url)
        page.press("Tab")
        page.press("Enter")
        assert page.run("document.activeElement.id") == "main"
        page.press("Tab")
        assert page.focused().startswith("div#plots"), "past the brand and all the deployments"


def test_the_chart_is_read_point_by_point_with_keys_and_under_the_pointer(browser, served):
    served.view.current = SCENES["alarm"]
    with browser.page() as page:
        page.open(served.url).until("document.querySelector('#plots').tabIndex === 0")
        page.run("document.querySelector('#plots').focus()")
        page.press("End")
        last = page.text("#readout")
        assert re.search(r"answered, 1\d % refused of \d+ sensitive requests", last.replace("\u00a0", " "))
        page.press("ArrowLeft")
        before = page.text("#readout")
        assert before != last
        assert "sensitive request" in before
        served.view.current = service(*SCENES["alarm"].deployments)
        page.run("new Promise((done) => setTimeout(done, 2500))")
        assert page.text("#readout") == before, "a refresh does not take it away"
        assert page.run("document.querySelectorAll('.cursor').length") == 1
        page.press("Escape")
        assert page.text("#readout") == ""
        box = page.run(PLOT_AT)
        page.point_at(*box)
        assert "answered" in page.text("#readout")
        page.point_at(5, 5)
        page.press("Escape")
        assert page.text("#readout") == ""


def test_a_screen_reader_finds_headings_tables_pictures_and_the_live_banner(browser, served):
    served.view.current = SCENES["alarm"]
    with browser.page() as page:
        spoken = page.open(served.url).spoken()
    named = {role: [name for one, name in spoken if one == role] for role, _ in spoken}
    assert named["heading"][0] == "chat-prod : The model has stopped refusing"
    assert named["heading"][1:4] == [
        "What to do now",
        "Evidence ids (8)",
        "What the model does with sensitive requests",
    ]
    assert {"main", "contentinfo", "banner"} <= set(named)
    assert "Sensitive requests answered, by category" in named["table"]
    (chart,) = named["image"]
    assert chart.startswith("Latest: 78")
    assert ("StaticText", "chat-prod: Alarm. The model has stopped refusing") in spoken
    assert any(role == "rowheader" and name == "Violence" for role, name in spoken)


def test_names_from_traffic_stay_text(browser, served):
    evil = incident(HOSTILE, evidence_ids=(HOSTILE,), summary=HOSTILE, id=HOSTILE[:40], model_digest=HOSTILE)
    served.view.current = service(
        deployment(HOSTILE, "alarm", incidents=(evil,), model=HOSTILE, model_digests=(HOSTILE,)),
        deployment("second " + HOSTILE),
    )
    with browser.page() as page:
        for address in (
            served.url,
            f"{served.url}deployment?name={quote(HOSTILE)}",
            f"{served.url}deployment?name=%22%3E%3C%",
        ):
            page.open(address).until("document.querySelector('#pulse').textContent.startsWith('live')")
            assert page.run("document.title") != "owned"
            assert page.run("document.images.length") == 0
            assert page.run("document.scripts.length") == 1
        page.open(served.url)
        served.view.current = service(deployment(HOSTILE + "2", "alarm"))
        page.until(f"{BANNER}.includes('onerror=alert(1)>2')")
        assert page.run("document.images.length") == 0
        assert [fault for fault in page.faults() if "404" not in fault] == []


def test_a_lost_server_is_said_at_once_and_the_last_picture_kept(browser):
    view = FakeView(SCENES["calm"])
    server = HttpServer(create_app(view, Metrics()))
    server.start()
    with browser.page() as page:
        page.open(f"{server.url}/").until("document.querySelector('#pulse').textContent.startsWith('live')")
        real, view.status = view.status, None
        page.until("!document.querySelector('#offline').hidden")
        assert "Can’t reach alignwatch. The monitor may be down; it answered 500. What you see is" in page.text(
            "#offline"
        )
        assert page.run("document.title") == "unreachable · alignwatch"
        assert "Behaving as it did when approved" in page.text("#banner")
        view.status = real
        page.until("document.querySelector('#offline').hidden")
        assert page.run("document.title") == "Watching: calm chat-prod · alignwatch"
        server.stop()
        page.until("document.querySelector('#offline').textContent.includes('the connection fails')")


@pytest.mark.parametrize("width", [320, 375, 768, 1000, 1280])
@pytest.mark.parametrize("scene", ["fleet", "alarm"])
def test_nothing_sticks_out_at_any_width(browser, served, width, scene):
    served.view.current = SCENES[scene]
    with browser.page(size=(width, 812), phone=width < 700) as page:
        page.open(served.url)
        assert page.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        letters = page.run(LETTERS)
        assert 9 < letters < 19, "the chart's letters can be read"


@pytest.mark.parametrize("dark", [False, True])
def test_texts_stand_out_from_their_ground_in_light_and_dark(browser, served, dark):
    """WCAG's contrast of 4.5 for each text that is shown, on the ground that it stands on."""
    with browser.page(dark=dark) as page:
        for scene in ("alarm", "calm", "learning", "stale", "fleet"):
            served.view.current = SCENES[scene]
            page.open(served.url)
            pale = page.run(CONTRAST)
            assert pale == [], (scene, pale[:5])


CONTRAST = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(one).backgroundColor);
      layers.push([r, g, b, a]);
      if (a === 1) break;
    }
    const lay = (under, [r, g, b, a]) => [r, g, b].map((c, i) => c * a + under[i] * (1 - a));
    return layers.reverse().reduce(lay, [255, 255, 255]);
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((one) => one.nodeType === 3 && one.nodeValue.trim());
    if (!own || !element.getClientRects().length || element.closest("svg, .sr, .skip")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const what = `${element.className || element.tagName} ${element.textContent.trim().slice(0, 30)}`;
    if (ratio < 4.5) found.push(`${what} ${ratio.toFixed(2)}`);
  }
  return found;
})()"""
