"""How fast the run time is, as ratios against the bare ONNX session where it can be: for the card and for the bench."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from classifiers.records import Pair
from classifiers.runtime import ANSWER_TYPE, REQUEST_TYPE, Classifier, load_classifier
from classifiers.screen import Screen, load_screen
from classifiers.training.rows import augmentation, have_data, read

ROUNDS = 5
_PROBE = """
import json, os, sys, time
from pathlib import Path
start = time.perf_counter()
from classifiers import load_classifier, load_screen
imported = time.perf_counter()
folder = Path(sys.argv[1])
classifier, screen = load_classifier(folder), load_screen(folder)
loaded = time.perf_counter()
from classifiers import Pair
classifier.label([Pair("a question about bread", "an answer about bread " * 60)] * 64)
pages = int(open("/proc/self/statm").read().split()[1]) if os.path.exists("/proc/self/statm") else 0
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.is_file() else []
peak = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
print(json.dumps({"import_seconds": imported - start, "load_seconds": loaded - imported,
                  "resident_mb": pages * os.sysconf("SC_PAGE_SIZE") / 2**20, "peak_mb": peak}))
"""


def machine() -> str:
    """Processor and number of cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.is_file()
        else []
    )
    return f"{names[0] if names else platform.machine()}, {cores} cores"


def pairs_for_speed(count: int) -> list[Pair]:
    """Pairs of dev, in file order and evenly spread; of our own augmentation texts where a clone has no dev."""
    if have_data():
        rows = [Pair(r.prompt, r.response) for r in read("dev") if r.response]
    else:
        rows = [
            Pair(r.get("prompt") or "Please do this for me.", r["response"])
            for r in augmentation()
            if r.get("response")
        ]
    step = max(1, len(rows) // count)
    return rows[::step][:count]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def against_bare(classifier: Classifier, pairs: Sequence[Pair], rounds: int = ROUNDS) -> dict[str, float]:
    """Labelled pairs/s through `label`, and as a ratio of the session alone on the same token batches.

    The ratio is of processor time, the median over alternating rounds, so that other load does not decide it; the time
    of all threads counts, the tokenizer's too.
    """
    encoder = classifier.encoder
    passes = (
        (classifier.request_sequences(pairs), REQUEST_TYPE),
        (classifier.answer_sequences([pair.response or "" for pair in pairs]), ANSWER_TYPE),
    )
    feeds = [encoder.feed([rows[i] for i in batch], kind) for rows, kind in passes for batch in encoder.batches(rows)]

    def bare() -> None:
        for feed in feeds:
            encoder.session.run(["logits"], feed)

    bare()
    wall, ratios = [], []
    for _ in range(rounds):
        before = time.process_time()
        wall.append(_seconds(lambda: classifier.label(pairs)))
        between = time.process_time()
        bare()
        ratios.append((time.process_time() - between) / (between - before))
    return {
        "pairs_per_second": round(len(pairs) / min(wall), 1),
        "of_bare_session": round(statistics.median(ratios), 3),
    }


def screen_rate(screen: Screen, prompts: Sequence[str], batch: int = 64, rounds: int = ROUNDS) -> float:
    """Prompts/s of the screen in batches as the service makes them; the best of the rounds."""
    cut = [prompts[i : i + batch] for i in range(0, len(prompts), batch)]

    def work() -> None:
        for part in cut:
            screen.score(part)

    work()
    return round(len(prompts) / min(_seconds(work) for _ in range(rounds)))


def tokens_rate(classifier: Classifier, texts: Sequence[str], rounds: int = ROUNDS) -> float:
    """Tokens/s of the tokenizer on whole texts, in one batch."""
    tokens = sum(len(e.ids) for e in classifier.tokenizer.encode_batch(list(texts), add_special_tokens=False))
    work = lambda: classifier.tokenizer.encode_batch(list(texts), add_special_tokens=False)  # noqa: E731 - one use
    return round(tokens / min(_seconds(work) for _ in range(rounds)))


def thread_scaling(folder: Path, pairs: Sequence[Pair], rounds: int = 3) -> float:
    """Speed with two threads over that with one, median of alternating rounds."""
    one, two = load_classifier(folder, threads=1), load_classifier(folder, threads=2)
    one.label(pairs[:8])
    two.label(pairs[:8])
    taken = [(_seconds(lambda: one.label(pairs)), _seconds(lambda: two.label(pairs))) for _ in range(rounds)]
    return round(statistics.median(single / double for single, double in taken), 2)


def fresh_process(folder: Path) -> dict[str, float]:
    """Import and load time and resident memory of a process that labels one batch, measured in one of its own."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", _PROBE, str(folder)], capture_output=True, text=True, check=True
    )
    return {name: round(value, 2) for name, value in json.loads(done.stdout).items()}


def measure_speed(folder: Path, count: int = 384) -> dict[str, Any]:
    """Everything above for an artefact folder, on one thread unless it says otherwise."""
    classifier, pairs = load_classifier(folder), pairs_for_speed(count)
    prompts = [pair.prompt for pair in pairs_for_speed(4000)]
    return {
        "machine": machine(),
        "load_average_meanwhile": round(os.getloadavg()[0], 1),
        **against_bare(classifier, pairs),
        "screen_prompts_per_second": screen_rate(load_screen(folder), prompts),
        "tokenizer_tokens_per_second": tokens_rate(classifier, [pair.response or "" for pair in pairs]),
        "two_threads_over_one": thread_scaling(folder, pairs[:192]),
        **fresh_process(folder),
    }
