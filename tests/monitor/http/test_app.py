"""The endpoints, without a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from fake_service import NOW, SCENES, FakeView, deployment, service
from starlette.testclient import TestClient

from alerts.guidance import Link
from monitor.http import LOOPBACK_HOSTS, create_app
from monitor.metrics import Metrics
from monitor.service_status import ServiceStatus

HOSTILE = '<script>alert(1)</script>"&\n\u202e'


@pytest.fixture
def view() -> FakeView:
    return FakeView(SCENES["alarm"])


@pytest.fixture
def client(view) -> Iterator[TestClient]:
    with TestClient(create_app(view, Metrics()), base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize(("path", "attribute"), [("/livez", "alive"), ("/readyz", "is_ready")])
def test_probes_say_yes_with_200_and_no_with_503_and_the_reason(client, view, path, attribute):
    setattr(view, attribute, (True, "fine"))
    assert (client.get(path).status_code, client.get(path).text) == (200, "fine\n")
    setattr(view, attribute, (False, "the broker does not answer"))
    assert (client.get(path).status_code, client.get(path).text) == (503, "the broker does not answer\n")
    setattr(view, attribute, (False, ""))
    assert client.get(path).text == "not ok\n"


def test_liveness_does_not_depend_on_readiness(client, view):
    view.is_ready = (False, "no broker")
    assert client.get("/livez").status_code == 200


def test_status_is_the_service_status_as_json(client, view):
    answer = client.get("/status")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert ServiceStatus.model_validate_json(answer.content) == view.current
    assert answer.json()["now"] == "2026-11-24T03:12:40.000Z"


def test_status_leaves_out_chart_points_of_deployments_that_were_not_asked_for(client, view):
    view.current = SCENES["fleet"]

    def with_panes(query: str) -> list[str]:
        return [d["name"] for d in client.get(f"/status{query}").json()["deployments"] if d["panes"]]

    assert with_panes("") == ["chat-prod", "chat-eu", "image-prompts", "batch-summaries"]
    assert with_panes("?panes=chat-eu&panes=image-prompts") == ["chat-eu", "image-prompts"]
    assert with_panes("?panes=") == []
    assert len(client.get("/status?panes=").json()["deployments"]) == 5


def test_status_is_strict_json_even_where_a_number_is_not_finite(client, view):
    one = deployment()
    odd = one.streams[0].model_construct(**(one.streams[0].model_dump() | {"evidence_log10": float("inf")}))
    view.current = service(one.model_construct(**(dict(one) | {"streams": (odd,)})))

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in JSON")

    parsed = json.loads(client.get("/status").content, parse_constant=refuse)
    assert parsed["deployments"][0]["streams"][0]["evidence_log10"] is None


def test_names_from_traffic_stay_data_everywhere(client, view):
    view.current = service(deployment(HOSTILE))
    answer = client.get("/status")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["deployments"][0]["name"] == HOSTILE
    metrics = client.get("/metrics").text
    assert 'deployment="<script>alert(1)</script>\\"&\\n\u202e"' in metrics
    assert all(line.startswith(("#", "alignwatch_", "process_", "python_")) for line in metrics.splitlines())
    assert "<script>alert" not in client.get("/").text
    assert "&lt;script&gt;alert(1)" in client.get("/").text


def test_metrics_come_as_openmetrics_when_asked(client):
    plain = client.get("/metrics", headers={"accept": "*/*"})
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert not plain.text.endswith("# EOF\n")
    modern = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert modern.text.endswith("# EOF\n")


def test_gauges_follow_the_view(client, view):
    assert 'alignwatch_deployment_state{deployment="chat-prod",state="alarm"} 1.0' in client.get("/metrics").text
    view.current = SCENES["calm"]
    assert 'alignwatch_deployment_state{deployment="chat-prod",state="alarm"} 0.0' in client.get("/metrics").text


def test_the_page_needs_nothing_from_another_server(client):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    for path in ("app.js", "morph.js", "readout.js"):
        script = client.get(f"/static/{path}")
        assert script.headers["content-type"].startswith("text/javascript")
        assert script.headers["cache-control"] == "no-cache"
        assert "innerHTML" not in script.text
        assert "://" not in script.text.replace("http://www.w3.org/2000/svg", "")
    assert "://" not in page.text
    for sheet in ("style.css", "plots.css"):
        assert client.get(f"/static/{sheet}").headers["content-type"].startswith("text/css")
        assert "://" not in client.get(f"/static/{sheet}").text
    assert client.get("/static/icon-alarm.svg").headers["content-type"] == "image/svg+xml"


def test_a_deployment_has_a_page_of_its_own_and_an_unknown_one_is_not_found(client, view):
    view.current = SCENES["fleet"]
    page = client.get("/deployment", params={"name": "chat-eu"})
    assert page.status_code == 200
    assert "Behaving as it did when approved" in page.text
    assert client.get("/deployment").status_code == 404
    gone = client.get("/deployment", params={"name": HOSTILE})
    assert gone.status_code == 404
    assert "<script>alert" not in gone.text


def test_the_page_links_to_what_is_configured_for_an_incident(view):
    found = [Link("runbook", "https://w.example/unalignment", "Runbook: unalignment")]
    client = TestClient(create_app(view, Metrics(), links=lambda _: found), base_url="http://localhost")
    assert '<a href="https://w.example/unalignment" rel="noreferrer">' in client.get("/").text


@pytest.mark.parametrize("path", ["/", "/status", "/metrics", "/livez", "/static/app.js", "/nowhere"])
def test_every_answer_locks_the_browser_down(client, path):
    headers = client.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "cache-control" in headers
    assert not [name for name in headers if name.startswith("access-control-")], "no CORS"


@pytest.mark.parametrize("path", ["/", "/status", "/metrics", "/livez", "/readyz", "/static/app.js"])
def test_head_has_the_headers_of_get_and_no_body(client, path):
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/status", "/metrics", "/livez", "/static/app.js"])
def test_nothing_can_be_changed_over_http(client, method, path):
    assert client.request(method, path).status_code == 405


@pytest.mark.parametrize("path", ["/static/../_app.py", "/static/%2e%2e/_app.py", "/static/..%2f_app.py", "/nowhere"])
def test_only_our_own_files_are_served(client, path):
    assert client.get(path).status_code == 404


def test_a_foreign_host_name_is_refused_on_loopback(view):
    client = TestClient(create_app(view, Metrics(), allowed_hosts=LOOPBACK_HOSTS), base_url="http://localhost:8077")
    assert client.get("/status").status_code == 200
    for host in ("127.0.0.1:8077", "[::1]:8077", "LOCALHOST"):
        assert client.get("/status", headers={"host": host}).status_code == 200, host
    refused = client.get("/status", headers={"host": "rebound.example:8077"})
    assert refused.status_code == 400
    assert "deployments" not in refused.text


def test_a_view_that_fails_says_500_without_its_insides(view):
    def fail() -> ServiceStatus:
        raise RuntimeError("a path nobody should read")

    view.status = fail
    client = TestClient(create_app(view, Metrics()), raise_server_exceptions=False)
    assert client.get("/status").status_code == 500
    assert "nobody" not in client.get("/status").text
    assert client.get("/livez").status_code == 200


def test_large_answers_are_compressed(client, view):
    view.current = service(*(deployment(f"d-{i}") for i in range(20)), started_at=NOW - timedelta(days=1))
    answer = client.get("/status", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["deployments"]) == 20
