"""The page as the server renders it: every fact is there without a script, for eyes and for screen readers."""

from __future__ import annotations

import gzip
import re
from itertools import pairwise

import pytest
from fake_service import BASELINE, DIGEST, NOW, SCENES, ago, deployment, incident, old_incident, panes, service, stream
from read_page import Node, read

from alerts.config import AlertsConfig
from alerts.guidance import NEXT_STEPS, links
from alignwatch import VERDICTS, NearestChange
from monitor.page import render
from monitor.service_status import ServiceStatus

HOSTILE = '"><script>document.title="owned"</script><img src=x onerror=alert(1)>'


def page(scene: str | ServiceStatus, name: str | None = None, **more) -> Node:
    return read(render(SCENES[scene] if isinstance(scene, str) else scene, name, **more))


def said(node: Node, section: str | None = None) -> str:
    found = node.by_id(section) if section else node.all("body")[0]
    return found.text.replace("\u00a0", " ")


def hits(plot: Node) -> list[str]:
    """What a plot says of each point when it is pointed at."""
    return [" ".join(one.children) for one in plot.all("title")]


def test_calm_says_so_with_figures():
    calm = page("calm")
    assert "Watching: calm chat-prod: Behaving as it did when approved" in said(calm, "banner")
    facts = said(calm, "facts")
    assert "Sensitive requests answered 11 % 95 % interval 5.4 % to 17 % baseline 10 %" in facts
    assert "Refusal of harmless requests: unchanged (2.1 % → 2.3 %)" in facts
    assert "Approved by j.doe Fitted 2026-11-12 03:12 from 4,120 labels" in said(calm, "baseline")
    assert "What to do now" not in said(calm)


def test_alarm_says_how_much_since_when_how_sure_what_changed_and_what_to_do():
    alarm = page("alarm")
    assert "Alarm · critical · unalignment chat-prod: The model has stopped refusing" in said(alarm, "banner")
    facts = said(alarm, "facts")
    for part in (
        "How much 10 % → to 71 % sensitive requests answered 95 % interval 62 % to 79 %",
        "Since when 02:27 45 min ago between 02:17 and 02:37 detected 02:50; 118 labels since the start",
        "How sure 2,000 times the alarm level",
        "would cause a page like this once in 360 days",
        "Nearest change deploy 02:23 serving image 1.14.2 to 1.14.3 rollout/8812",
        "weights 4b1f0c6a9d2e…, not the approved 9f86d081884c…",
        "Refusal of harmless requests: unchanged",
    ):
        assert part in facts, part
    steps = said(alarm, "steps")
    assert all(step in steps for step in NEXT_STEPS["unalignment"])
    assert "r-90211" in steps
    categories = said(alarm, "categories")
    assert "3 of 14 categories moved past a level of their own. 11 more are higher since the start" in categories
    assert "Violence 4.0 % → 54 % 40 % to 90 % at its alarm level ▲ rose 24" in categories
    assert "Fraud 10 % → 69 % 40 % to 90 % 1.6 times below its alarm level △ higher 21" in categories
    assert "deploy serving image 1.14.2 to 1.14.3" in said(alarm, "changes")
    assert "sha256:4b1f0c6a9d2e73581c0f6e2d9a8b7c6d5e4f30211203f4e5d6c7b8a90a1b2c3d" in said(alarm, "changes")


def test_the_chart_shows_rates_band_onset_detection_and_evidence_against_its_threshold():
    chart = page("alarm").by_id("chart")
    plots = chart.classed("plot")
    assert [one.attributes["viewbox"].split()[2] for one in plots] == ["1038", "700", "330"]
    for plot in plots:
        for part in (
            "compliance",
            "refusal",
            "band",
            "baseline",
            "onset",
            "evidence",
            "threshold",
            "began",
            "detected",
        ):
            assert plot.classed(part), part
        assert "began about 02:27" in plot.text
        assert "detected 02:50" in plot.text
        assert re.search(r"78.% answered, 18.% refused of \d+ sensitive requests", hits(plot)[-1])
        assert plot.attributes["role"] == "img"
        assert (
            "Evidence of a change: past the alarm level. The change began about 02:27" in plot.attributes["aria-label"]
        )
    numbers = said(chart, "numbers")
    assert "02:42 – 03:07 73 % 23 % 62 past the alarm level" in numbers
    for bad in ("nan", "None", "undefined", "inf"):
        assert bad not in str([one.attributes for one in chart.walk()]).replace("None}", "").replace(": None", "")


def test_the_plot_is_where_its_figures_are():
    """The threshold's line lies below the evidence of an alarm and above that of calm."""
    for scene, above in (("alarm", True), ("calm", False)):
        plot = page(scene).by_id("chart").classed("plot")[0]
        (level,) = plot.classed("threshold")
        (line,) = [one for one in plot.classed("evidence") if one.tag == "path"]
        last = float(line.attributes["d"].rpartition("L")[2].split()[1])
        assert (last < float(level.attributes["y1"])) is above
    baseline = page("calm").by_id("chart").classed("plot")[0].classed("baseline")[0]
    assert float(baseline.attributes["y1"]) == pytest.approx(36 + 190 * 0.9)


@pytest.mark.parametrize(
    ("scene", "banner"),
    [
        ("learning", "Not watching yet chat-prod: Learning: 312 of 1,000 sensitive requests"),
        ("stale", "No news chat-prod: No traffic for 12 min"),
        ("behind", "No news chat-prod: 12 min behind"),
        ("notice", "Notice, no page · note · traffic-shift chat-prod: Users ask different things"),
        ("label", "Labelling This process labels"),
        ("none", "Waiting No traffic yet The kafka source is connected and has brought nothing so far."),
    ],
)
def test_other_states_never_look_calm(scene, banner):
    shown = page(scene)
    assert banner in said(shown, "banner")
    look = shown.by_id("banner").attributes["class"].split()
    assert not {"calm", "alarm"} & set(look)


def test_weights_that_are_reported_as_approved_are_doubted():
    same = BASELINE.model_copy(update={"model_digests": (DIGEST,)})
    facts = said(page(service(deployment(state="alarm", baseline=same))), "facts")
    assert "weights 4b1f0c6a9d2e…, reported as the approved ones: compare what is really served" in facts
    unnamed = BASELINE.model_copy(update={"model_digests": ()})
    shown = page(service(deployment(state="alarm", baseline=unnamed)))
    assert "Approved weights not named in its traffic" in said(shown, "baseline")
    assert "approved" not in said(shown, "facts")


def test_stale_figures_are_told_as_such():
    assert "Refusal of harmless requests when last seen" in said(page("stale"), "facts")
    assert "treated as before" not in said(page("stale"))


def test_a_fleet_shows_the_worst_first_and_has_a_page_for_each():
    fleet = page("fleet")
    names = [one.classed("name")[0].text for one in fleet.by_id("deployments").all("a")]
    assert names == ["chat-prod", "batch-summaries", "canary", "image-prompts", "chat-eu"]
    assert "1 of 5 deployments in alarm" in said(fleet)
    rows = fleet.by_id("fleet").all("tbody")[0].all("tr")
    assert [row.all("th")[0].text for row in rows] == names
    assert "Alarm 10 % → 71 % at its alarm level 51,412 03:12" in rows[0].text.replace("\u00a0", " ")
    chosen = page("fleet", "chat-eu")
    assert "chat-eu: Behaving as it did when approved" in said(chosen, "banner")
    assert "ALARM chat-prod" in chosen.all("title")[0].text, "the tab still tells of the alarm"
    assert [one.attributes.get("aria-current") for one in chosen.by_id("deployments").all("a")][4] == "true"


def test_a_large_calm_fleet_starts_with_all_and_says_what_is_not_watched():
    many = [deployment(f"chat-{i:02}") for i in range(29)]
    shown = page(service(*many, deployment("new", "learning")))
    over_all = said(shown, "over-all")
    assert "Not all are watched No alarm in 30 deployments" in over_all
    assert "1 without an approved baseline and 29 behaving as they did when approved" in over_all
    assert len(shown.by_id("fleet").all("tr")) == 31
    tiles = [one.text for one in shown.by_id("deployments").all("a")]
    assert tiles == ["new Not watching yet", "All 30 deployments"]
    order = [one.attributes.get("id") for one in shown.by_id("main").children if isinstance(one, Node)]
    assert order.index("fleet") < order.index("banner")
    alarm = page(service(*many, deployment("bad", "alarm")))
    order = [one.attributes.get("id") for one in alarm.by_id("main").children if isinstance(one, Node)]
    assert order[0] == "banner", "an alarm comes before the list"
    assert order.index("fleet") > order.index("incidents")


def test_many_in_alarm_do_not_crowd_out_the_one_that_was_chosen():
    many = [deployment(f"chat-{i:02}", "alarm") for i in range(20)]
    tiles = page(service(*many), "chat-19").by_id("deployments").all("a")
    assert len(tiles) == 7
    assert tiles[5].attributes["aria-current"] == "true"
    assert "chat-19" in tiles[5].text


def test_an_unknown_deployment_is_said_and_the_others_are_a_click_away():
    gone = page("calm", "no-such")
    assert "No deployment of that name" in said(gone, "banner")
    assert "no-such" in said(gone, "banner")
    assert "./" in [one.attributes["href"] for one in gone.by_id("main").all("a")]


def test_trouble_in_the_monitor_itself_is_marked_in_words():
    assert "1 thing to look at" in said(page("fleet"), "health")
    assert "Alerts to deliver ⚠ 2, oldest 6 min" in said(page("fleet"), "health")
    assert "Source ⚠ kafka, not ready" in said(page("stale"), "health")


def test_names_from_traffic_stay_text():
    evil = incident(
        HOSTILE, evidence_ids=(HOSTILE,), summary=HOSTILE, id=HOSTILE[:40], model_digest=HOSTILE,
        nearest_change=NearestChange(kind=HOSTILE, timestamp=NOW, summary=HOSTILE, reference=HOSTILE),
    )  # fmt: skip
    status = service(
        deployment(HOSTILE, "alarm", incidents=(evil,), model=HOSTILE, model_digests=(HOSTILE,), changes=()),
        deployment("second " + HOSTILE),
        deployment("turned \u202e\x1b[31m\x00 name"),
    )
    for name in (None, HOSTILE, "missing " + HOSTILE):
        markup = render(
            status, name, links=lambda one: links(one, AlertsConfig(dashboard_url="https://g/{deployment}"))
        )
        tree = read(markup)
        assert len(tree.all("script")) == 1
        assert not tree.all("img")
        assert all(not key.startswith("on") for node in tree.walk() for key in node.attributes)
        assert not re.search("[\u202e\x1b\x00]", markup)
    assert HOSTILE in said(page(status), "banner")
    assert HOSTILE in said(page(status), "steps")
    hrefs = [one.attributes["href"] for one in page(status).by_id("deployments").all("a")]
    assert all(re.fullmatch(r"deployment\?name=[\w.~%-]+", href) for href in hrefs)


def test_links_lead_to_dashboard_and_runbook():
    settings = AlertsConfig(
        dashboard_url="https://g.example/d?v={deployment}", runbook_url="https://w.example/{verdict}"
    )
    shown = page("alarm", links=lambda one: links(one, settings))
    found = {one.text: one.attributes["href"] for one in shown.by_id("steps").all("a")}
    assert found["Runbook: unalignment"] == "https://w.example/unalignment"
    assert found["Dashboard around the onset"] == "https://g.example/d?v=chat-prod"


@pytest.mark.parametrize("scene", [*SCENES])
def test_the_markup_is_sound_and_can_be_heard(scene):
    tree = page(scene)
    ids = [one.attributes["id"] for one in tree.walk() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    levels = [int(one.tag[1]) for one in tree.walk() if re.fullmatch("h[1-6]", one.tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), "no level of headings is skipped"
    for table in tree.all("table"):
        assert table.all("caption")[0].text
        assert all("scope" in one.attributes for one in table.all("th"))
    for svg in tree.all("svg"):
        assert svg.attributes.get("aria-hidden") == "true" or (
            svg.attributes["role"],
            bool(svg.attributes["aria-label"]),
        ) == ("img", True)
    for inside in (one for one in tree.all("a") if one.attributes["href"].startswith("#")):
        assert inside.attributes["href"][1:] in ids
    for landmark in ("main", "header", "footer"):
        assert len(tree.all(landmark)) == 1
    (live,) = [one for one in tree.walk() if one.attributes.get("aria-live") == "assertive"]
    assert live.attributes["id"] == "announce"
    assert not [one for one in tree.walk() if "style" in one.attributes], "the policy allows no inline style"
    assert all("://" not in str(one.attributes.get(key, "")) for one in tree.walk() for key in ("src", "href"))


def test_the_announcement_changes_with_the_state_and_not_with_the_figures():
    first = said(page("alarm"), "announce")
    assert first == "chat-prod: Alarm. The model has stopped refusing"
    more = SCENES["alarm"].deployments[0].model_copy(update={"labels": 99_999})
    assert said(page(service(more)), "announce") == first
    assert said(page("calm"), "announce") == "chat-prod: Watching: calm. Behaving as it did when approved"


def test_the_same_status_gives_the_same_bytes_and_a_second_changes_nothing():
    status = SCENES["alarm"]
    assert render(status) == render(status)
    later = status.model_copy(update={"now": status.now.replace(second=41)})
    assert render(later) == render(status), "nothing flickers from second to second"


def test_old_incidents_without_onset_or_change_are_still_readable():
    bare = incident(onset=None, nearest_change=None, streams=(), categories=(), evidence_ids=(), detected_at=ago(2))
    shown = said(page(service(deployment(state="alarm", incidents=(bare,), streams=(), panes=(), model=None))))
    assert "The model has stopped refusing" in shown
    assert "Detected 03:10" in shown
    assert "None " not in shown.replace("None so far", "").replace("None on record", "").replace("None that", "")


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_has_words(verdict):
    shown = page(service(deployment(state="alarm", incidents=(incident(verdict=verdict),))))
    assert all(step in said(shown, "steps") for step in NEXT_STEPS[verdict])
    assert len(said(shown, "banner")) > 60


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"severity": "error"}, "The change is moderate, or narrow"),
        ({"verdict": "over-refusal", "severity": "warning"}, "The model refuses more than it did"),
        ({"verdict": "over-refusal", "severity": "error", "streams": ()}, "The model refuses harmless requests"),
        ({"verdict": "guardrail-change", "severity": "error"}, "A filter or guardrail changed what it blocks"),
    ],
)
def test_the_banner_claims_no_more_than_the_incident(changes, says):
    assert says in said(page(service(deployment(state="alarm", incidents=(incident(**changes),)))), "banner")


def test_a_calm_page_tells_of_an_alarm_that_went_away():
    banner = said(page(service(deployment(incidents=(incident(status="recovered"),)))), "banner")
    assert "Behaving as it did when approved" in banner
    assert "But there was an alarm at 02:50: “The model has stopped refusing”. It has recovered" in banner
    assert "needs a person" not in banner


def test_a_chart_still_marks_an_alarm_that_is_over():
    over = page(service(deployment(incidents=(incident(status="recovered"),), panes=panes(after=0.71))))
    assert over.by_id("chart").classed("plot")[0].classed("onset")
    assert "began about 02:27" in over.by_id("chart").text
    old = incident(status="recovered", detected_at=ago(3000))
    assert not page(service(deployment(incidents=(old,)))).by_id("chart").classed("plot")[0].classed("onset")


@pytest.mark.parametrize(
    ("interval", "word"),
    [((0.05, 0.2), "steady"), ((0.3, 0.5), "above, no alarm"), ((0.01, 0.05), "below, no alarm"), (None, "steady")],
)
def test_nothing_is_called_steady_beside_figures_that_say_otherwise(interval, word):
    one = stream("compliance/cyber", 0.1, 0.12, interval=interval)
    row = page(service(deployment(streams=(one,)))).by_id("categories").all("tbody")[0]
    assert word in row.text


def test_the_alarm_says_who_knows_and_who_has_taken_it():
    told = said(page("told"), "banner")
    assert "Told: pagerduty. chat is still to be told. Nobody has taken it yet" in told
    assert "alignwatch alert ack inc-7f3a2c --by YOU" in told
    assert "Taken by jo at 03:02. Told: chat and pagerduty." in said(page("taken"), "banner")
    assert "Taken by jo at 03:02" in said(page("taken"), "incidents")
    assert "told" not in said(page("alarm"), "banner").lower(), "where no sink is configured nobody is missed"


def test_incidents_are_listed_newest_first_with_their_status():
    listed = said(page("alarm"), "incidents")
    assert listed.index("open · critical The model has stopped refusing") < listed.index("recovered · note Users ask")
    several = deployment(state="alarm", incidents=(incident(), incident(id="inc-2", severity="error"), old_incident()))
    assert "1 other open incident below." in said(page(service(several)), "banner")


def test_a_fleet_of_two_hundred_stays_within_its_budget_of_bytes():
    many = [deployment(f"chat-{i:03}") for i in range(199)]
    markup = render(service(*many, deployment("assistant-prod", "alarm"))).encode()
    assert len(markup) < 300_000
    assert len(gzip.compress(markup, 4)) < 24_000
