"""Fine-tunes the network: joint losses, layer-wise rates, averaged weights, checkpoints to resume from."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from classifiers.heads import CATEGORY
from classifiers.runtime import REQUEST_TYPE
from classifiers.training.answers import train_answers
from classifiers.training.asking import pooled_of
from classifiers.training.batches import BATCH_TOKENS, Batch, Memo, epoch
from classifiers.training.ensemble import fold_of
from classifiers.training.losses import answer_loss, request_loss
from classifiers.training.network import (
    ANSWER_WINDOW,
    BASE,
    FIRST_WINDOW,
    Average,
    Network,
    parameter_groups,
    tokenizer,
)
from classifiers.training.refit import category_layer
from classifiers.training.requests import Request, train_requests

WEIGHTS = "network.pt"
"""The averaged weights that a finished run leaves in its folder."""
AVERAGED = "averaged.pt"
"""The mean of the last runs' weights, which is what ships."""
BRANCHES = 2
"""How many last runs there are."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that decides a run, besides the data."""

    epochs: int = 2
    rate: float = 1e-4
    layer_decay: float = 0.9
    embeddings: bool = False
    scale: float = 0.75
    seed: int = 11
    warmup: float = 0.06
    weight_decay: float = 0.01
    average: float = 0.995
    mask: float = 0.06
    hidden_dropout: float = 0.0
    request_passes: int = 2
    narrow: bool = False
    start: str | None = None
    share: float = 0.5
    tokens: int = BATCH_TOKENS
    base: str | None = None
    folds: int = 0
    left_out: int = 0


def bfloat16_pays(device: str) -> bool:
    """Whether products in bfloat16 are faster here than in float32: not on a CPU without instructions for them."""
    if device != "cpu":
        return True
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        x, w = torch.ones(2048, 384, dtype=kind), torch.ones(384, 1536, dtype=kind)
        (x @ w).sum()
        started = time.process_time()
        for _ in range(5):
            x @ w
        seconds[kind] = time.process_time() - started
    return seconds[torch.bfloat16] < 0.8 * seconds[torch.float32]


class Run:
    """One training run in a folder; calling `go` again continues where the last checkpoint stands."""

    def __init__(self, folder: Path, schedule: Schedule) -> None:
        self.folder, self.schedule = folder, schedule
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(schedule.seed)
        random.seed(schedule.seed)
        np.random.seed(schedule.seed)  # noqa: NPY002 - libraries draw from the global one
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.half = bfloat16_pays(self.device)
        # the fused attention is the faster one in float32; its bfloat16 backward is three times slower on a CPU
        attention = "eager" if self.half and self.device == "cpu" else "sdpa"
        base = Path(schedule.base) if schedule.base else BASE
        self.network = Network(base, hidden_dropout=schedule.hidden_dropout, attention=attention).to(self.device)
        if schedule.start:
            self.network.load_state_dict(torch.load(schedule.start, weights_only=True, map_location=self.device))
        groups = parameter_groups(
            self.network, schedule.rate, decay=schedule.layer_decay, embeddings=schedule.embeddings
        )
        self.optimiser = torch.optim.AdamW(groups, weight_decay=schedule.weight_decay, fused=self.device == "cuda")
        self.average = Average(self.network, schedule.average)
        self.memo = Memo(tokenizer())
        self.done = 0

    @property
    def checkpoint(self) -> Path:
        """Where the run's state is kept."""
        return self.folder / "checkpoint.pt"

    def batches(self) -> list[Batch]:
        """Every batch of every epoch; each epoch draws its capped sources and compositions anew."""
        s = self.schedule
        rng = random.Random(s.seed)
        found: list[Batch] = []
        for i in range(s.epochs):
            asked: list[Request] = []
            for k in range(s.request_passes):
                drawn = train_requests(s.seed + 10 * i + k)
                asked += rng.sample(drawn, int(len(drawn) * min(1.0, s.scale)))
            asked = [e for e in asked if not self._held_back(e.text)]
            answers = [e for e in train_answers(s.seed + i, s.scale) if not self._held_back(e.group)]
            window = FIRST_WINDOW if s.narrow else ANSWER_WINDOW
            found += epoch(asked, answers, self.memo, s.seed + i, window=window, share=s.share, tokens=s.tokens)
        return found

    def _held_back(self, group: str) -> bool:
        """Whether a text of this group is kept from the run, because the run will be asked about it."""
        s = self.schedule
        return bool(s.folds) and fold_of(group, s.folds) == s.left_out

    def go(self, every: int = 100) -> Network:
        """Trains to the end and returns the averaged network; writes a checkpoint every `every` steps."""
        batches = self.batches()
        self._resume(len(batches))
        (self.folder / "schedule.json").write_text(json.dumps(asdict(self.schedule), indent=1) + "\n", "utf-8")
        (self.folder / WEIGHTS).unlink(missing_ok=True)  # those of another run, if there are any
        started, seen, losses = time.monotonic(), 0, []
        self.network.train()
        for step in range(self.done, len(batches)):
            losses.append(self.step(batches[step], step, len(batches)))
            seen += len(batches[step].ids)
            if (step + 1) % 25 == 0:
                loss = float(torch.stack(losses[-50:]).mean())
                speed = seen / (time.monotonic() - started)
                print(f"step {step + 1}/{len(batches)} loss {loss:.4f} {speed:.0f} rows/s", flush=True)
            if (step + 1) % every == 0 or step + 1 == len(batches):
                self.done = step + 1
                self._save(len(batches))
        torch.save(self.average.network.state_dict(), self.folder / WEIGHTS)
        return self.average.network

    def step(self, batch: Batch, step: int, total: int) -> torch.Tensor:
        """Learns from one batch and returns its loss; `step` of `total` decides rate and hidden tokens."""
        self._set_rate(step, total)
        ids = self._masked(batch, step).to(self.device)
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.half):
            logits = self.network(ids, batch.mask.to(self.device), batch.types.to(self.device))
        loss = (answer_loss if batch.answers else request_loss)(logits.float(), batch.target.to(self.device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.average.update(self.network)
        return loss.detach()

    def _masked(self, batch: Batch, step: int) -> torch.Tensor:
        """Hides a few tokens, other ones each time: the label must not hang on one phrase."""
        draw = torch.Generator().manual_seed(self.schedule.seed * 100_003 + step)
        hide = (torch.rand(batch.ids.shape, generator=draw) < self.schedule.mask) & (
            batch.ids > 999
        )  # words, not signs
        return batch.ids.masked_fill(hide, 103)  # [MASK]

    def _set_rate(self, step: int, total: int) -> None:
        warm = max(1, int(total * self.schedule.warmup))
        left = (step - warm) / max(1, total - warm)
        factor = (step + 1) / warm if step < warm else 0.5 * (1.0 + np.cos(np.pi * left))
        for group in self.optimiser.param_groups:
            # a plain float: a checkpoint that holds numpy's cannot be read back
            group["lr"] = float(self.schedule.rate * group["scale"] * max(factor, 0.02))

    def _save(self, total: int) -> None:
        state = {
            "step": self.done,
            "total": total,
            "schedule": asdict(self.schedule),
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.network.state_dict(),
            "average_steps": self.average.steps,
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def _resume(self, total: int) -> None:
        if not self.checkpoint.is_file():
            return
        state = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
        if state["schedule"] != asdict(self.schedule) or state["total"] != total:
            print("checkpoint is of another schedule or other data: starting anew", flush=True)
            return
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.network.load_state_dict(state["average"])
        self.average.steps, self.done = state["average_steps"], state["step"]
        print(f"resumed at step {self.done}/{total}", flush=True)


def stages(folder: Path, schedule: Schedule) -> list[tuple[Path, Schedule]]:
    """The runs of one training, each in its folder, in the order in which they must be made.

    The first reads less of long answers, draws the requests (which are short) twice an epoch and leaves the word
    embeddings alone. The second goes on from it with all that is read at run time. Two more go on from the second, each
    with its own draw of the data.
    """
    later = replace(schedule, epochs=1, rate=schedule.rate * 0.7, embeddings=True, request_passes=1, narrow=False)
    whole = replace(later, seed=schedule.seed + 20, start=str(folder / WEIGHTS))
    branches = [
        (
            folder / f"branch-{i}",
            replace(later, scale=0.4, seed=schedule.seed + 20 + 20 * i, start=str(folder / "whole" / WEIGHTS)),
        )
        for i in range(1, 1 + BRANCHES)
    ]
    return [(folder, replace(schedule, narrow=True)), (folder / "whole", whole), *branches]


def train(folder: Path, schedule: Schedule) -> Path:
    """Makes every run of `stages`, averages the last ones' weights and fits the category's layer anew.

    The mean of weights is a model soup (Wortsman et al. 2022).

    A killed call continues where its checkpoints stand.

    Returns:
        The file of the averaged weights.
    """
    made = stages(folder, schedule)
    for where, one in made:
        if not finished(where, one):
            Run(where, one).go()
    weights = average([where / WEIGHTS for where, _ in made[-BRANCHES:]], folder / AVERAGED)
    refitted(weights, train_requests(schedule.seed))
    return weights


def refitted(weights: Path, requests: Sequence[Request]) -> Network:
    """Fits the rows that name a request's category anew, in a file of weights; the encoder stays as it is.

    Args:
        weights: the file, which is written again.
        requests: those that have a category are used.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = Network()
    network.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    known = [request for request in requests if request.category is not None]
    features = pooled_of(network, device, [request.text for request in known], REQUEST_TYPE)
    kinds = np.array([request.category for request in known], dtype=np.int64)
    rows, biases = category_layer(features, kinds, np.array([r.category_weight for r in known], dtype=np.float32))
    with torch.no_grad():
        network.heads.weight[CATEGORY] = torch.from_numpy(rows).to(device)
        network.heads.bias[CATEGORY] = torch.from_numpy(biases).to(device)
    torch.save(network.cpu().state_dict(), weights)
    return network


def finished(folder: Path, schedule: Schedule) -> bool:
    """Whether the folder holds the weights of a whole run by this schedule."""
    stated = folder / "schedule.json"
    told = stated.is_file() and json.loads(stated.read_text("utf-8")) == asdict(schedule)
    return told and (folder / WEIGHTS).is_file()


def average(files: Sequence[Path], target: Path) -> Path:
    """Writes the mean of the files' weights to `target`, which is also returned."""
    states = [torch.load(file, weights_only=True, map_location="cpu") for file in files]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }
    torch.save(mean, target)
    return target
