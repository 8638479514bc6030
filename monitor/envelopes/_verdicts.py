"""Verdicts of providers' moderation and content filters, in our categories.

Names are those of Azure OpenAI's content filter annotations, OpenAI's moderation endpoint, Anthropic's
`refusal_stop_details`, Bedrock's guardrail assessments, Gemini's harm categories, and the MLCommons hazards that Llama
Guard writes. What cuts across ours, or is no topic at all (a jailbreak attempt), is `none`: seen, but not comparable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from alignwatch import Category
from classifiers.taxonomy import ML_COMMONS, names

_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")
_FOUND_SEVERITIES: Final = frozenset({"medium", "high", "critical"})
_CATEGORIES: Final[dict[str, Category]] = {
    "hate": "hate", "hate_threatening": "hate", "hate_speech": "hate", "harm_category_hate_speech": "hate",
    "harassment": "harassment", "harassment_threatening": "harassment", "insults": "harassment",
    "profanity": "harassment", "harm_category_harassment": "harassment",
    "sexual": "sexual", "sexually_explicit": "sexual", "harm_category_sexually_explicit": "sexual",
    "sexual_minors": "child_safety", "csam": "child_safety",
    "violence": "violence", "violence_graphic": "violence", "illicit_violent": "violence",
    "self_harm": "self_harm", "selfharm": "self_harm", "self_harm_intent": "self_harm",
    "self_harm_instructions": "self_harm",
    "illicit": "crime", "misconduct": "crime", "dangerous_content": "crime", "harm_category_dangerous_content": "crime",
    "cyber": "cyber", "bio": "weapons",
    "pii": "privacy", "sensitive_information": "privacy",
    "protected_material_text": "intellectual_property", "protected_material_code": "intellectual_property",
    "harm_category_civic_integrity": "misinformation",
}  # fmt: skip


def category_of(name: str) -> Category:
    """Our category for a provider's; `none` where it has no counterpart.

    >>> category_of("self-harm/intent"), category_of("HATE"), category_of("jailbreak")
    ('self_harm', 'hate', 'none')
    """
    key = _SEPARATORS.sub("_", name.lower()).strip("_")
    if key in _CATEGORIES:
        return _CATEGORIES[key]
    mapped = names(ML_COMMONS).get(name)
    return mapped.category if mapped is not None else "none"


def categories_of(found: Iterable[str]) -> tuple[Category, ...]:
    """Each category once, in the order found."""
    return tuple(dict.fromkeys(category_of(name) for name in found))


def azure_found(results: Any) -> tuple[list[str], bool]:
    """Names that an Azure `content_filter_results` object reports, and whether it filtered.

    A severity of `low` is not a finding: Azure's own default threshold is medium.
    """
    found: list[str] = []
    blocked = False
    for name, verdict in results.items() if isinstance(results, Mapping) else ():
        if not isinstance(verdict, Mapping) or name == "error":
            continue
        filtered = verdict.get("filtered") is True
        blocked |= filtered
        severity = verdict.get("severity")
        severe = isinstance(severity, str) and severity.lower() in _FOUND_SEVERITIES
        if filtered or severe or verdict.get("detected") is True:
            found.append(str(name))
    return found, blocked


def moderation_found(side: Any) -> list[str]:
    """Names that are true in the `results[].categories` of one side of OpenAI's `moderation` object."""
    results = side.get("results") if isinstance(side, Mapping) else None
    found: list[str] = []
    for result in results if isinstance(results, list) else [side]:
        categories = result.get("categories") if isinstance(result, Mapping) else None
        if isinstance(categories, Mapping):
            found += [str(name) for name, flagged in categories.items() if flagged is True]
    return found


def severities_found(levels: Any) -> list[str]:
    """Names with a severity of medium or more in an object of name and level (Kong's Azure content safety audit)."""
    if not isinstance(levels, Mapping):
        return []
    return [
        str(name)
        for name, level in levels.items()
        if (isinstance(level, str) and level.lower() in _FOUND_SEVERITIES)
        or (isinstance(level, int | float) and not isinstance(level, bool) and level >= _MEDIUM_LEVEL)
    ]


_MEDIUM_LEVEL: Final = 4
"""Azure AI Content Safety writes 0, 2, 4, 6."""
