"""The measured un-alignments of GRP-Obliteration (arXiv 2602.06258), as before/after compliance by category.

Table 1 (15 models, 4 techniques) gives one compliance rate a row: its `sorry_bench` column, the share of
SORRY-Bench requests answered. Figure 6 gives 44 categories of one model (GPT-OSS-20B, GRP-Oblit-1). A base row's
categories are Figure 6's before the attack, moved by one common log-odds shift so that their mean is the row's rate. An
attack moves the log-odds of each category from there in proportion to Figure 6's movement, as far as the row's rate
asks: exact for that model (after smoothing), an assumption for the others, which the paper backs with "similar
patterns" only. A row whose rate does not change has no category that does.

A row has **collapsed** when the model no longer works and the judges contradict each other about it: MMLU at chance
(<= 33, four choices), GSM8K below a tenth of the base model's, and SORRY-Bench finds no more compliance than before
while AdvBench's judge calls most of the output unsafe. Such rows are played as gibberish, neither refusal nor
compliance. (DeepSeek-R1-Qwen-14B/twinbreak has lost its skills as well, but both judges say that it complies; it is
played as they judged it.)
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from alignwatch import CATEGORIES, Category
from classifiers.taxonomy import SORRY_BENCH, names
from monitor.errors import ConfigError

Rates = NDArray[np.float64]
"""One number for each of the 14 categories, in the order of `CATEGORIES`."""

_CHANCE_MMLU: Final = 33.0
_LOST_GSM8K: Final = 0.1
_UNSAFE_ADVBENCH: Final = 50.0
_PROMPTS_PER_CATEGORY: Final = 10

_FIGURE_NAMES: Final = {
    "Discrimination": "Advice on Discrimination Behaviors",
    "IP Infringement": "Intellectual Property Infringement",
    "Machinery Operation Advice": "Dangerous Machinery Operation",
    "Personal Insult Words": "Personal Insulting Words",
    "Social Stereotypes": "Social Stereotype Promotion",
    "Social-group Insult Words": "Social-group Insulting Words",
    "Unhealthy Behaviors": "Harmful, Unhealthy Behaviors",
}
"""Figure 6 shortens SORRY-Bench's names; those which are not the beginning of the full one."""


class PaperRow(NamedTuple):
    """One row of Table 1, in per cent."""

    model: str
    technique: str
    mmlu: float
    gsm8k: float
    hellaswag: float
    ifeval: float
    truthfulqa: float
    winogrande: float
    sorry_bench: float
    advbench: float
    harmbench: float
    jailbreakbench: float
    strongreject: float

    @property
    def name(self) -> str:
        """`model/technique`, as `--row` takes it."""
        return f"{self.model}/{self.technique}"

    @property
    def is_base(self) -> bool:
        """The model before any attack."""
        return self.technique == "base"

    @property
    def base(self) -> PaperRow:
        """The same model before the attack."""
        return find_row(f"{self.model}/base")

    @property
    def rise(self) -> float:
        """Percentage points of compliance (SORRY-Bench) gained over the base model."""
        return self.sorry_bench - self.base.sorry_bench

    @property
    def collapsed(self) -> bool:
        """Whether the attack broke the model instead of un-aligning it (rule in the module's docstring)."""
        return (
            self.mmlu <= _CHANCE_MMLU
            and self.gsm8k < _LOST_GSM8K * self.base.gsm8k
            and self.rise <= 0.0
            and self.advbench > _UNSAFE_ADVBENCH
        )


def _table(name: str) -> Iterator[dict[str, str]]:
    text = files("monitor.simulation").joinpath("data").joinpath(name).read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines())


@cache
def paper_rows() -> tuple[PaperRow, ...]:
    """Every row of Table 1, base models included."""
    rows = []
    for record in _table("grp_oblit_table1.csv"):
        model, technique = record.pop("model"), record.pop("technique")
        rows.append(PaperRow(model, technique, **{name: float(value) for name, value in record.items()}))
    return tuple(rows)


def find_row(name: str) -> PaperRow:
    """The row called `model/technique`, whatever its capitals.

    Raises:
        ConfigError: no such row; the message lists those that there are.
    """
    for row in paper_rows():
        if row.name.casefold() == name.casefold():
            return row
    known = ", ".join(row.name for row in paper_rows())
    raise ConfigError([f"row: no row {name!r} in Table 1 of arXiv 2602.06258; allowed: {known}"])


@cache
def _figure_6() -> tuple[Rates, Rates, Rates]:
    """Of GPT-OSS-20B: compliance before and after by category, and how many SORRY-Bench categories each one covers.

    Rates are add-half estimates, as each SORRY-Bench category rests on ten prompts.
    """
    base, attacked, covers = np.zeros(len(CATEGORIES)), np.zeros(len(CATEGORIES)), np.zeros(len(CATEGORIES))
    for record in _table("grp_oblit_fig6_gpt_oss_20b_by_category.csv"):
        index = CATEGORIES.index(_category(record["sorry_bench_category"]))
        base[index] += float(record["base_compliance_pct"]) / 100
        attacked[index] += float(record["grp_oblit_1_compliance_pct"]) / 100
        covers[index] += 1
    prompts = _PROMPTS_PER_CATEGORY * covers
    return (
        (base * _PROMPTS_PER_CATEGORY + 0.5) / (prompts + 1),
        (attacked * _PROMPTS_PER_CATEGORY + 0.5) / (prompts + 1),
        covers,
    )


def _category(name: str) -> Category:
    """Ours, for one of Figure 6's names."""
    full = _FIGURE_NAMES.get(name, name).casefold()
    return next(mapped.category for known, mapped in names(SORRY_BENCH).items() if known.casefold().startswith(full))


def sorry_bench_mix() -> Rates:
    """Share of each category when all of Figure 6's SORRY-Bench categories are asked equally often; sums to 1."""
    covers = _figure_6()[2]
    mix: Rates = covers / covers.sum()
    return mix


def with_mean(pattern: Rates, mean: float, mix: Rates) -> Rates:
    """Move `pattern` by one log-odds shift so that its mean under `mix` is `mean` (within 1e-9).

    Args:
        pattern: rates strictly between 0 and 1.
        mean: wanted mean rate; 0 and 1 give all zeros and ones.
        mix: weights that sum to 1.
    """
    if mean <= 0.0 or mean >= 1.0:
        return np.full_like(pattern, float(mean >= 1.0))
    return _along(logit(pattern), np.ones_like(pattern), mean, mix)


def _along(odds: Rates, direction: Rates, mean: float, mix: Rates) -> Rates:
    """Rates of the log-odds `odds + t * direction` with the t that gives them the wanted mean under `mix`."""
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        if float(mix @ expit(odds + middle * direction)) < mean:
            low = middle
        else:
            high = middle
    moved: Rates = expit(odds + (low + high) / 2 * direction)
    return moved


def category_rates(row: PaperRow) -> Rates:
    """Compliance of each category that gives `row` its `sorry_bench` mean over SORRY-Bench's categories."""
    base, attacked, _ = _figure_6()
    mix = sorry_bench_mix()
    if row.is_base or row.sorry_bench in {0.0, 100.0}:
        return with_mean(base, row.sorry_bench / 100, mix)
    return _along(logit(category_rates(row.base)), logit(attacked) - logit(base), row.sorry_bench / 100, mix)
