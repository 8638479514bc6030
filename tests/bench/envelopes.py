"""Speed of the decoders beside `json.loads` of the same bytes, and of the HTTP door beside a bare Starlette echo.

    python tests/bench/envelopes.py [--seconds S] [--connections N]

Both of a pair are measured in turns within one run, so that a busy machine slows both; the ratio is what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import gateways
from exchanges import native, record
from fake_service import FakeView
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from alignwatch import Exchange
from monitor.envelopes import DecodeLimits, FieldMap, Half, JoinBuffer, decode_record
from monitor.http import Door, HttpServer, create_app
from monitor.metrics import Metrics
from monitor.sources import HttpSource, HttpSourceConfig

TEXT = "The eggs go into boiling water for eight minutes, and then into cold water so that they peel well. " * 6
TURNS = [{"role": role, "content": TEXT[:400]} for role in ("system", "user", "assistant", "user", "assistant", "user")]
BATCH = 50
LIMITS = DecodeLimits(max_bytes=16 << 20)


def samples() -> dict[str, tuple[bytes, tuple[tuple[str, bytes], ...]]]:
    """Bytes and headers of one record of each format: six turns and an answer of 600 characters."""
    asked = gateways.chat_request(messages=TURNS)
    said = gateways.chat_response(TEXT)
    chunks = gateways.chat_chunks(*(TEXT[i : i + 6] for i in range(0, len(TEXT), 6)))
    attributes = gateways.genai(**{
        "gen_ai.input.messages": json.dumps(
            [{"role": one["role"], "parts": [{"type": "text", "content": one["content"]}]} for one in TURNS]
        ),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": TEXT}], "finish_reason": "stop"}]
        ),
    })  # fmt: skip
    flat = gateways.openinference(**{"input.value": json.dumps(asked), "output.value": json.dumps(said)})
    batch = gateways.spans(*(gateways.span(attributes, spanId=f"{n:016x}") for n in range(1, BATCH + 1)))
    found: dict[str, Any] = {
        "native": native(prompt=None, messages=TURNS, response=TEXT),
        "openai-chat": {"request": asked, "response": said, "deployment": "d"},
        "openai-chat, event stream": {"request": asked, "response": gateways.sse(chunks), "deployment": "d"},
        "openai-responses": {"request": {"input": TURNS}, "response": gateways.responses_body(
            {"type": "output_text", "text": TEXT}), "deployment": "d"},
        "anthropic-messages": {"request": {"messages": TURNS}, "response": gateways.anthropic_message(TEXT),
                               "deployment": "d", "timestamp": 1_795_428_000},
        "litellm": gateways.litellm(messages=TURNS, response=said),
        "apisix": gateways.apisix(llm_request=asked, llm_response_text={"content": TEXT}),
        "kong": gateways.kong(asked, said),
        "bedrock-log": gateways.bedrock_log(asked, said),
        "otlp-json, genai": gateways.spans(gateways.span(attributes)),
        "otlp-json, openinference": gateways.spans(gateways.span(flat)),
        f"otlp-json, batch of {BATCH}": batch,
        "field-map": {"kind": "bench", "chat": TURNS, "out": TEXT},
    }  # fmt: skip
    records = {name: (json.dumps(value).encode(), ()) for name, value in found.items()}
    records[f"otlp-protobuf, batch of {BATCH}"] = (gateways.protobuf(batch), ())
    return records


def rate(work: Callable[[], int], seconds: float) -> float:
    """Units of work a second of processor time: what others do on the machine does not count."""
    work()
    done, began = 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        done += work()
    return done / spent


def in_turns(first: Callable[[], int], second: Callable[[], int], seconds: float) -> tuple[float, float]:
    """Medians of both rates over five alternating rounds."""
    rounds = [(rate(first, seconds / 10), rate(second, seconds / 10)) for _ in range(5)]
    return statistics.median(a for a, _ in rounds), statistics.median(b for _, b in rounds)


def decoders(seconds: float) -> None:
    mapped = FieldMap.model_validate({"name": "bench", "when": "$.kind", "messages": "$.chat", "response": "$.out"})
    limits = LIMITS.model_copy(update={"field_maps": (mapped,)})
    print("| format | bytes | exchanges/s a core | json.loads/s of the same bytes | ratio |\n|---|---|---|---|---|")
    for name, (value, headers) in samples().items():
        one = record(value, headers=headers, timestamp=1_795_428_000.0)
        bounds = limits if name == "field-map" else LIMITS

        def decode(one: Any = one, bounds: DecodeLimits = bounds) -> int:
            found = decode_record(one, limits=bounds, default_deployment="d")
            return sum(isinstance(item, Exchange) for item in found)

        units = decode()
        assert units, name
        parse = value if value[:1] == b"{" else samples()[f"otlp-json, batch of {BATCH}"][0]

        def loads(parse: bytes = parse, units: int = units) -> int:
            json.loads(parse)
            return units

        mine, theirs = in_turns(decode, loads, seconds)
        print(f"| {name} | {len(value)} | {mine:,.0f} | {theirs:,.0f} | {mine / theirs:.2f} |", flush=True)
    halves(seconds)


def halves(seconds: float) -> None:
    """KServe: two records an exchange."""
    asked = json.dumps(gateways.chat_request(messages=TURNS)).encode()
    said = json.dumps(gateways.chat_response(TEXT)).encode()
    pair = [
        record(body, headers=gateways.kserve_headers(side)) for body, side in ((asked, "request"), (said, "response"))
    ]
    joins = JoinBuffer(LIMITS, seconds=60.0, capacity=10, max_bytes=1 << 20)

    def decode() -> int:
        found: list[Exchange] = []
        for one in pair:
            (half,) = decode_record(one, limits=LIMITS, default_deployment=None)
            assert isinstance(half, Half)
            found += joins.add(half, one, 0.0)
        return len(found)

    def loads() -> int:
        json.loads(asked)
        json.loads(said)
        return 1

    mine, theirs = in_turns(decode, loads, seconds)
    print(
        f"| kserve halves | {len(asked) + len(said)} | {mine:,.0f} | {theirs:,.0f} | {mine / theirs:.2f} |", flush=True
    )


async def echo(request: Request) -> JSONResponse:
    return JSONResponse({"accepted": len(await request.body()) > 0}, 202)


class Client:
    """One keep-alive connection that posts the same request over and over; its own bytes cost next to nothing."""

    def __init__(self, port: int, body: bytes) -> None:
        self._port = port
        head = f"POST /v1/exchanges HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._request = head.encode() + body

    async def run(self, until: float, taken: list[float]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while time.perf_counter() < until:
            began = time.perf_counter()
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 202"), head[:60]
            length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            taken.append(time.perf_counter() - began)
        writer.close()


async def _load(port: int, body: bytes, connections: int, seconds: float) -> list[float]:
    taken: list[float] = []
    until = time.perf_counter() + seconds
    await asyncio.gather(*(Client(port, body).run(until, taken) for _ in range(connections)))
    return taken


def load(port: int, body: bytes, connections: int, seconds: float) -> list[float]:
    """Seconds that each request took."""
    return asyncio.run(_load(port, body, connections, seconds))


def door(seconds: float, connections: int) -> None:
    one = json.dumps(native(prompt=None, messages=TURNS, response=TEXT)).encode()
    many = b"[" + b",".join([one] * 20) + b"]"
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        source = HttpSource(HttpSourceConfig(spool=Path(folder) / "spool", max_bytes=1 << 33))
        source.start({})
        served = HttpServer(create_app(FakeView(), Metrics(), door=Door(source)))
        bare = HttpServer(Starlette(routes=[Route("/v1/exchanges", echo, methods=["POST"])]))
        served.start()
        bare.start()
        # clients in this process would hold the interpreter while the servers need it, and be measured instead of them
        clients = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        print(f"\n{connections} connections; the door answers once the disk has the record, the echo at once\n")
        print("| what | exchanges/s | p50 ms | p99 ms | of the echo's requests/s | CPU µs an exchange |")
        print("|---|---|---|---|---|---|")
        try:
            for name, body, count in (("one a request", one, 1), ("20 a request", many, 20)):
                runs: dict[str, list[float]] = {"door": [], "echo": []}
                spent = {"door": 0.0, "echo": 0.0}
                for _ in range(3):
                    for kind, server in (("door", served), ("echo", bare)):
                        began = time.process_time()
                        runs[kind] += clients.submit(load, server.port, body, connections, seconds / 3).result()
                        spent[kind] += time.process_time() - began
                rates = {kind: len(taken) / seconds for kind, taken in runs.items()}
                for kind, taken in runs.items():
                    cuts = statistics.quantiles(taken, n=100)
                    print(
                        f"| {kind}, {name} | {rates[kind] * count:,.0f} | {cuts[49] * 1e3:.1f} | {cuts[98] * 1e3:.1f} |"
                        f" {rates[kind] / rates['echo']:.2f} | {spent[kind] / len(taken) / count * 1e6:.0f} |",
                        flush=True,
                    )
        finally:
            clients.shutdown()
            served.stop()
            bare.stop()
            source.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="for each row")
    parser.add_argument("--connections", type=int, default=64)
    chosen = parser.parse_args()
    decoders(chosen.seconds)
    door(chosen.seconds, chosen.connections)


if __name__ == "__main__":
    main()
