"""The detection engine: labels in, incidents out, with state that can be saved and taken up again exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from alignwatch import Incident, Label
from monitor.baseline import Baseline
from monitor.detection.budget import Allowance, allowances
from monitor.detection.codec import encode, pack, unpack
from monitor.detection.deployment import Deployment
from monitor.detection.report import deployment_status
from monitor.detection_config import DetectionConfig
from monitor.errors import StateError
from monitor.status import DeploymentStatus
from monitor.streams import OutcomePolicy


class Engine:
    """Detects, for any number of deployments, that behaviour has left its approved baseline.

    It reads no clock: time is what the labels say. The same labels in the same order give the same incidents, however
    they are cut into calls and whether or not the state was saved and restored in between. Labels are taken to be
    distinct; whoever feeds it ignores those that were delivered before.

    Args:
        config: of detection.
        baselines: by deployment. Without an approved one a deployment's labels are counted and nothing alarms.
        arl_labels: overrides the run length of every stream, for measuring.
    """

    def __init__(
        self, config: DetectionConfig, baselines: Mapping[str, Baseline], *, arl_labels: float | None = None
    ) -> None:
        self.config = config
        self._arl_labels = arl_labels
        self._baselines: dict[str, Baseline] = dict(baselines)
        self._deployments: dict[str, Deployment] | None = None
        """None until they are needed: whoever restores a snapshot has no use for new ones."""
        self._encoded: dict[str, bytes] = {}
        """Saved lines of deployments that nothing has happened to since."""
        self._ended: list[Incident] = []
        self._refused = 0

    def process(self, labels: Sequence[Label]) -> list[Incident]:
        """Feed labels in order of arrival.

        Returns:
            Incidents that opened, or whose status, severity or verdict changed, in the order of the labels.
        """
        deployments = self._all()
        changed, self._ended = self._ended, []
        for label in labels:
            deployment = deployments.get(label.deployment) or self._add(label.deployment)
            if deployment is not None:
                self._encoded.pop(label.deployment, None)
                changed.extend(deployment.take(label))
        return changed

    def advance(self, now: float) -> list[Incident]:
        """Let time pass without labels, up to `now` in epoch seconds.

        Silence is not evidence: an incident closes when labels say that the rate is back, never for want of them. What
        is reported here is what `set_baseline` has ended.
        """
        del now
        changed, self._ended = self._ended, []
        return changed

    def set_baseline(self, baseline: Baseline) -> None:
        """Compare a deployment with another baseline from now on.

        Its detectors start from no evidence; what was open is resolved, which the next `process` or `advance` reports.
        Run lengths of all deployments are left as they are until the engine is made anew.
        """
        name = baseline.deployment
        deployment = self._all().get(name)
        self._baselines[name] = baseline
        self._encoded.pop(name, None)
        if deployment is None:
            self._add(name)
        else:
            self._ended.extend(deployment.compare_with(baseline, self._allowances(baseline)))

    def snapshot(self) -> bytes:
        """All state, checksummed; the cost is that of the deployments that had labels since the last one."""
        head, deployments = self.snapshot_parts()
        return pack([head, *deployments.values()])

    def snapshot_parts(self) -> tuple[bytes, dict[str, bytes]]:
        """The snapshot before it is packed: what belongs to no deployment, and each deployment's line by name.

        A line is the same object as long as nothing happens to its deployment.
        """
        for name, deployment in self._all().items():
            if name not in self._encoded:
                self._encoded[name] = encode(deployment.dump())
        head = encode({"refused": self._refused, "ended": [one.model_dump(mode="json") for one in self._ended]})
        return head, self._encoded

    def restore(self, snapshot: bytes) -> None:
        """Take up a snapshot, in place of what is there.

        A deployment whose baseline has changed since keeps its panes, caps and counts; its detectors start again, and
        what was open is resolved, which the next `process` or `advance` reports.

        Raises:
            StateError: the snapshot is damaged or of another version; nothing has changed then.
        """
        head, *states = unpack(snapshot) or [{}]
        deployments: dict[str, Deployment] = {}
        try:
            refused, ended = head["refused"], [Incident.model_validate(item) for item in head["ended"]]
            for state in states:
                deployment = deployments[state["name"]] = self._make(state["name"])
                ended = [*ended, *deployment.load(state)]
        except (KeyError, TypeError, ValueError, IndexError, ValidationError) as error:
            raise StateError(
                f"engine snapshot: a field is missing or wrong ({type(error).__name__}: {error})"
            ) from error
        self._refused, self._ended, self._deployments, self._encoded = refused, ended, deployments, {}
        for name in sorted(self._baselines):
            if name not in deployments:
                self._add(name)

    def status(self) -> list[DeploymentStatus]:
        """One for each deployment, by name."""
        deployments = self._all()
        return [deployment_status(deployments[name]) for name in sorted(deployments)]

    def open_incidents(self) -> list[Incident]:
        """Those that are open, with their present figures."""
        still = (one for deployment in self._all().values() for one in deployment.open_incidents())
        return sorted(still, key=lambda one: one.deployment)

    @property
    def policies(self) -> dict[str, OutcomePolicy]:
        """What counts as an outcome, by deployment that has a baseline."""
        return {name: baseline.policy for name, baseline in self._baselines.items()}

    @property
    def late_labels(self) -> int:
        """Labels older than the grace allows: counted, and kept out of the statistics."""
        return sum(deployment.counts["late"] for deployment in self._all().values())

    @property
    def refused_labels(self) -> int:
        """Labels of deployments beyond `max_deployments`."""
        self._all()
        return self._refused

    def _all(self) -> dict[str, Deployment]:
        if self._deployments is None:
            self._deployments = {}
            for name in sorted(self._baselines):
                self._add(name)
        return self._deployments

    def _add(self, name: str) -> Deployment | None:
        deployments = self._all()
        if len(deployments) >= self.config.max_deployments:
            self._refused += 1
            return None
        deployment = deployments[name] = self._make(name)
        return deployment

    def _make(self, name: str) -> Deployment:
        deployment = Deployment(name, self.config)
        baseline = self._baselines.get(name)
        if baseline is not None:
            deployment.compare_with(baseline, self._allowances(baseline))
        return deployment

    def _allowances(self, baseline: Baseline) -> tuple[Allowance, ...]:
        approved = sum(one.approved for one in self._baselines.values())
        return allowances(baseline, self.config, self.config.fleet_deployments or max(approved, 1), self._arl_labels)
