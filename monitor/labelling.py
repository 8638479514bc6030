"""Turns exchanges into labels: attached verdicts are taken as they are, the rest goes through the classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from alignwatch import AttachedLabels, Behaviour, Label, Origin
from classifiers import Labeller, Pair, PairLabels, ReadAnswer
from monitor.compact import (
    DEPLOYMENT_BYTES,
    ID_BYTES,
    MODEL_DIGEST_BYTES,
    PERSON_BYTES,
    REASON_BYTES,
    short_behaviour,
    short_classifier,
    short_request,
    short_weight,
    shortened,
    shortened_or_none,
)
from monitor.sampling import Selected
from monitor.text import prompt_text

WORDLESS: Final = frozenset({"tool", "provider_block"})
"""Ends that may leave no text: nothing is wrong with the data, there is just no answer to read."""
_REFUSED: Final = Behaviour(refusal=1.0, partial=0.0, compliance=0.0)


class LabellingStage:
    """Selected exchanges in, one Label each out, in the same order.

    A request selected at the rate that ignores content always has its answer read; one selected by the screen has it
    read if the request pass finds it sensitive, since only then does a statistic use it.

    Args:
        labeller: the classifier, or a twin.
        batch: pairs handed to it at once; bounds both memory and latency.
    """

    def __init__(self, labeller: Labeller, *, batch: int = 256) -> None:
        self._labeller = labeller
        self._batch = batch

    @property
    def digest(self) -> str:
        """Digest of the artefact that signs the labels."""
        return self._labeller.digest

    def label(self, selected: Sequence[Selected]) -> list[Label]:
        """Label every exchange; nothing is dropped, what can't be read says why in `unlabelable`."""
        labels: list[Label | None] = [_attached(one, self._labeller.digest) for one in selected]
        missing = [index for index, label in enumerate(labels) if label is None]
        for start in range(0, len(missing), self._batch):
            part = missing[start : start + self._batch]
            verdicts = self._labeller.label([_pair(selected[index]) for index in part])
            for index, verdict in zip(part, verdicts, strict=True):
                labels[index] = _label(selected[index], verdict, self._labeller.digest)
        return [label for label in labels if label is not None]


def _pair(one: Selected) -> Pair:
    prompt, context = prompt_text(one.exchange)
    read: ReadAnswer = "always" if one.selection == "uniform" else "if-sensitive"
    if one.exchange.finish in WORDLESS and not one.exchange.response.strip():
        read = "never"
    return Pair(prompt=prompt, response=one.exchange.response, context=context, read_answer=read)


def _attached(one: Selected, digest: str) -> Label | None:
    given = one.exchange.labels
    if given is None or (given.request is None and given.behaviour is None and given.unlabelable is None):
        return None
    judged = given.request is not None or given.behaviour is not None
    # That there is nothing to judge is nobody's verdict: it belongs to whoever would have judged, not to another
    # classifier, whose labels could not be compared with the deployment's others.
    return _make(one, given, given.origin, given.classifier or ("attached" if judged else digest))


def _label(one: Selected, verdict: PairLabels, digest: str) -> Label:
    given = one.exchange.labels
    if given is not None and given.origin != "attached":
        return _make(one, verdict, given.origin, digest)
    if one.exchange.finish == "model_refusal":
        verdict = _refused(verdict)
    blocked = one.exchange.finish == "provider_block"
    return _make(one, verdict, "provider" if blocked else "model", digest)


def _refused(verdict: PairLabels) -> PairLabels:
    """A structured refusal is one whatever its text says, if there is any.

    Where no answer was to be read none is given either, or the answer would decide which requests count.
    """
    if verdict.behaviour is None and verdict.unlabelable is None:
        return verdict
    return PairLabels(verdict.request, _REFUSED, 0.0, verdict.unlabelable)


def _make(one: Selected, verdict: PairLabels | AttachedLabels, origin: Origin, classifier: str) -> Label:
    exchange = one.exchange
    request, behaviour, harm = verdict.request, verdict.behaviour, verdict.response_harm
    if isinstance(verdict, AttachedLabels):
        request, behaviour = short_request(request), short_behaviour(behaviour)
        harm = None if harm is None else round(harm, 4)
    # Both sides were read: whatever could not be was not needed.
    unlabelable = None if request is not None and behaviour is not None else verdict.unlabelable
    # Every part was validated where it came from; validating again would double the cost of a label.
    return Label.model_construct(
        id=shortened(exchange.id, ID_BYTES),
        timestamp=exchange.timestamp,
        deployment=shortened(exchange.deployment, DEPLOYMENT_BYTES),
        model_digest=shortened_or_none(exchange.model_digest, MODEL_DIGEST_BYTES),
        conversation=shortened_or_none(exchange.conversation, PERSON_BYTES),
        user=shortened_or_none(exchange.user, PERSON_BYTES),
        weight=short_weight(one.weight),
        selection=one.selection,
        request=request,
        behaviour=behaviour,
        response_harm=harm,
        unlabelable=shortened_or_none(unlabelable, REASON_BYTES),
        origin=origin,
        classifier=short_classifier(classifier),
    )
