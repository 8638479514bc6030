"""Keeps a Label within its 600 bytes: long names are cut and told apart by a hash, numbers lose digits nobody needs.

Each rule looks at one value alone, so that the same conversation, user or deployment is always written alike.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from alignwatch import Behaviour, RequestLabel

LABEL_BYTES: Final = 600
"""What a label may be at most, as JSON; the limits below are chosen so that the largest label stays within it."""
ID_BYTES: Final = 40
"""A UUID, a ULID and an OpenAI completion's id are written whole."""
DEPLOYMENT_BYTES: Final = 40
PERSON_BYTES: Final = 16
"""Of `conversation` and `user`, which only have to be told apart."""
MODEL_DIGEST_BYTES: Final = 71
"""`sha256:` and 64 digits."""
CLASSIFIER_BYTES: Final = 39
"""`sha256:` and 128 bits, which no two artefacts share by chance."""
REASON_BYTES: Final = 24
_MARK: Final = "~"
_HASH_DIGITS: Final = 12
"""48 bits, beside the beginning of the name: enough among the names that are remembered at a time."""
_WORST_ESCAPE: Final = 6


def shortened(text: str, limit: int) -> str:
    """`text`, or its beginning and a hash where it takes more than `limit` bytes as JSON.

    >>> shortened("r-1", 40), shortened("x" * 60, 40)
    ('r-1', 'xxxxxxxxxxxxxxxxxxxxxxxxxxx~ff27301053c7')
    """
    if len(text) * _WORST_ESCAPE <= limit or _written(text) <= limit:
        return text
    room = limit - len(_MARK) - _HASH_DIGITS
    head = text[:room]
    while _written(head) > room:
        head = head[:-1]
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_HASH_DIGITS // 2).hexdigest()
    return f"{head}{_MARK}{digest}"


def _written(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")) - 2


def shortened_or_none(text: str | None, limit: int) -> str | None:
    """As `shortened`; None stays None."""
    return None if text is None else shortened(text, limit)


def short_classifier(digest: str) -> str:
    """How a classifier's digest stands in labels and in the baselines fitted from them.

    >>> short_classifier("sha256:" + "ab" * 32)
    'sha256:abababababababababababababababab'
    """
    if digest.startswith("sha256:"):
        return digest[:CLASSIFIER_BYTES]
    return shortened(digest, CLASSIFIER_BYTES)


def short_weight(weight: float) -> float:
    """Six significant digits: an error far below that of any rate.

    >>> short_weight(1.0 / 0.0813)
    12.3001
    """
    return float(f"{weight:.6g}")


def short_request(request: RequestLabel | None) -> RequestLabel | None:
    """Four decimals, as the classifier writes them; for verdicts that others attached."""
    return request and RequestLabel.model_construct(harm=round(request.harm, 4), category=request.category)


def short_behaviour(behaviour: Behaviour | None) -> Behaviour | None:
    """Four decimals of each probability."""
    return behaviour and Behaviour.model_construct(**{name: round(p, 4) for name, p in behaviour})
