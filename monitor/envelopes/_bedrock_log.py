"""Amazon Bedrock's model invocation log, as it lies in S3 and CloudWatch Logs.

Field names follow the AWS documentation "Monitor model invocation". Bodies beyond 100 KB are not in the record but in
an S3 object beside it, which is not fetched: such records are counted as `no-content`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.envelopes._base import Context, Found, Skipped
from monitor.envelopes._fields import at, deployment_of, digest_of, text_or_none
from monitor.envelopes._pair import exchanges_of, reply_of
from monitor.envelopes._requests import asked_of
from monitor.errors import DecodeError


class BedrockLogDecoder:
    """One `ModelInvocationLog`; the deployment is the configured default, else the model id."""

    name = "bedrock-log"

    def why_not(self, obj: Any) -> str | None:
        """None when it says so itself."""
        if not isinstance(obj, dict):
            return "not an object"
        return None if obj.get("schemaType") == "ModelInvocationLog" else "needs schemaType ModelInvocationLog"

    def decode(self, obj: Any, context: Context) -> Sequence[Found]:
        """One exchange for each answer."""
        if text_or_none(obj.get("errorCode")) is not None:
            raise DecodeError("no-answer", "errorCode: the call failed upstream, there is no answer to judge")
        asked_body, answered = at(obj, "input", "inputBodyJson"), at(obj, "output", "outputBodyJson")
        if asked_body is None or answered is None:
            return [Skipped("no-content")]
        asked = asked_of(asked_body, "input.inputBodyJson")
        reply = reply_of(answered, "output.outputBodyJson")
        model = text_or_none(obj.get("modelId"))
        metadata = obj.get("requestMetadata")
        common = {
            "id": text_or_none(obj.get("requestId")),
            "timestamp": obj.get("timestamp") if obj.get("timestamp") is not None else context.timestamp,
            "deployment": deployment_of({"deployment": text_or_none(at(metadata, "deployment"))}, context, model),
            "model_digest": digest_of({}, context),
            "model": model,
            "conversation": text_or_none(at(metadata, "conversation")),
            "user": text_or_none(at(metadata, "user")),
        }
        return exchanges_of(common, asked, reply)
