"""The few kinds of panels that the dashboards are made of, over grafana-foundation-sdk's typed builders.

Every panel has a description that ends with the metrics it reads. A panel that shows nothing while all is well says so in
its description (`Empty while all is well`), and the tests take it at its word.
"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    statushistory,
    timeseries,
)
from grafana_foundation_sdk.cog import builder as cogbuilder
from grafana_foundation_sdk.models import common as models
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    DashboardSpecialValueMapOptions,
    DataSourceRef,
    DynamicConfigValue,
    FieldColorModeId,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TAG: Final = "alignwatch"
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
QUIET: Final = "Empty while all is well."
"""Ends the description, before the metrics, of a panel that has nothing to show in health."""

GREEN, YELLOW, RED, BLUE, GREY = "green", "yellow", "red", "blue", "text"
Steps = list[tuple[float | None, str]]
Queries = dict[str, str]
"""Legend to PromQL."""
PanelBuilder = stat.Panel | timeseries.Panel | statetimeline.Panel | statushistory.Panel

STATES: Final[Queries] = {"1": "watching", "2": "learning", "3": "no baseline", "4": "ALARM"}


def described(text: str, *metrics: str, quiet: bool = False) -> str:
    """A panel's description."""
    return " ".join([text, *([QUIET] if quiet else []), f"Metrics: {', '.join(metrics)}."])


def target(expr: str, legend: str = "", ref: str = "A", *, instant: bool = False) -> prometheus.Dataquery:
    """A query; a range one unless only the latest value counts."""
    query = prometheus.Dataquery().expr(expr).ref_id(ref).legend_format(legend or "__auto")
    query = query.datasource(SOURCE).format(PromQueryFormat.TIME_SERIES)
    return query.instant() if instant else query.range()


def steps(pairs: Steps) -> dashboard.ThresholdsConfig:
    """Colours from a value on; the first step has no value."""
    made = [Threshold(value=value, color=color) for value, color in pairs]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)


def no_value(text: str) -> ValueMapping:
    """What stands for a quotient of nothing by nothing."""
    options = DashboardSpecialValueMapOptions(
        match=SpecialValueMatch.NULL_AND_NAN, result=ValueMappingResult(text=text, color=GREY)
    )
    return SpecialValueMap(options=options)


def words(values: Queries, colors: dict[str, str] | None = None) -> ValueMapping:
    """Numbers to words."""
    results = {
        number: ValueMappingResult(text=text, color=(colors or {}).get(number), index=i)
        for i, (number, text) in enumerate(values.items())
    }
    return ValueMap(options=results)


def number(
    title: str, description: str, expr: str, thresholds: Steps, *, unit: str = "short", empty: str = "No traffic",
    mapping: ValueMapping | None = None, width: int = 3, decimals: int | None = None,
) -> stat.Panel:  # fmt: skip
    """A tile with one figure, coloured by what it means."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .with_target(target(expr, instant=True))
        .thresholds(steps(thresholds))
        .unit(unit)
        .no_value(empty)
        .color_mode(models.BigValueColorMode.BACKGROUND)
        .graph_mode(models.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .mappings([no_value(empty)] if mapping is None else [no_value(empty), mapping])
        .height(4)
        .span(width)
    )
    return panel if decimals is None else panel.decimals(decimals)


def lines(
    title: str, description: str, queries: Queries, *, unit: str = "short", width: int = 12, height: int = 8,
    top: float | None = None, bottom: float | None = 0, thresholds: Steps | None = None, stacked: bool = False,
) -> timeseries.Panel:  # fmt: skip
    """Lines over time; a threshold is drawn as a dashed line."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .line_width(2)
        .fill_opacity(30 if stacked else 0)
        .show_points(models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(models.LegendDisplayMode.LIST)
            .placement(models.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(models.TooltipDisplayMode.MULTI).sort(models.SortOrder.DESCENDING))
        .height(height)
        .span(width)
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(models.StackingMode.NORMAL))
    if bottom is not None:
        panel = panel.min(bottom)
    if top is not None:
        panel = panel.max(top)
    if thresholds is not None:
        style = common.GraphThresholdsStyleConfig().mode(models.GraphTresholdsStyleMode.DASHED)
        panel = panel.thresholds(steps(thresholds)).thresholds_style(style)
    for i, (legend, expr) in enumerate(queries.items()):
        panel = panel.with_target(target(expr, legend, chr(ord("A") + i)))
    return panel


def dashed(panel: timeseries.Panel, legend: str) -> timeseries.Panel:
    """Draw the lines of this legend (a regular expression) dashed: what was, beside what is."""
    style = DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 6]})
    return panel.override_by_regexp(legend, [style, DynamicConfigValue(id_val="custom.lineWidth", value=1)])


def banded(panel: timeseries.Panel, low: str, high: str) -> timeseries.Panel:
    """Fill between two lines and hide the lines themselves."""
    none = DynamicConfigValue(id_val="custom.lineWidth", value=0)
    legend = DynamicConfigValue(id_val="custom.hideFrom", value={"legend": True, "tooltip": False, "viz": False})
    fill = [
        DynamicConfigValue(id_val="custom.fillBelowTo", value=low),
        DynamicConfigValue(id_val="custom.fillOpacity", value=18),
    ]
    return panel.override_by_name(low, [none, legend]).override_by_name(high, [none, *fill])


def states(
    title: str, description: str, expr: str, legend: str, *, width: int = 24, height: int = 6
) -> statetimeline.Panel:
    """One lane a deployment, in the colour and the word of its state."""
    colors = {"1": GREEN, "2": BLUE, "3": YELLOW, "4": RED}
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .with_target(target(expr, legend))
        .mappings([words(STATES, colors)])
        .show_value(models.VisibilityMode.AUTO)
        .legend(
            common.VizLegendOptions()
            .display_mode(models.LegendDisplayMode.LIST)
            .placement(models.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .height(height)
        .span(width)
    )


def heat(
    title: str, description: str, expr: str, legend: str, *, width: int = 24, height: int = 10
) -> statushistory.Panel:
    """One lane a category, the darker the higher the rate."""
    return (
        statushistory.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .with_target(target(expr, legend))
        .unit("percentunit")
        .min(0)
        .max(1)
        .max_data_points(96)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.CONTINUOUS_YL_RD))
        .legend(
            common.VizLegendOptions()
            .display_mode(models.LegendDisplayMode.LIST)
            .placement(models.LegendPlacement.BOTTOM)
            .show_legend(False)
        )
        .height(height)
        .span(width)
    )


def variable(name: str, label: str, query: str, *, multi: bool) -> dashboard.QueryVariable:
    """A choice that Prometheus knows the values of."""
    made = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    made = made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    return made.multi(True).include_all(True).all_value(".*") if multi else made


class _At(cogbuilder.Builder[AnnotationQuery]):
    """A mark at the time that a metric's value tells, which the SDK's own annotations do not know."""

    def __init__(self, name: str, expr: str, color: str, text: str) -> None:
        self._query = _TimedAnnotation(name=name, datasource=SOURCE, enable=True, icon_color=color, expr=expr)
        self._query.text = text

    def build(self) -> AnnotationQuery:
        return self._query


class _TimedAnnotation(AnnotationQuery):
    text: str = ""

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {"useValueForTime": "on", "titleFormat": self.text, "step": "60s"}


def mark(name: str, metric: str, color: str, text: str) -> cogbuilder.Builder[AnnotationQuery]:
    """A vertical mark at the time that is the metric's value; Grafana wants milliseconds."""
    return _At(name, f'{metric}{{job=~"$job",deployment=~"$deployment"}} * 1000', color, text)


def build(
    uid: str, title: str, description: str, rows: list[tuple[str, list[PanelBuilder]]], *,
    deployment: bool = False, several: bool = False, marks: bool = False,
) -> Dashboard:  # fmt: skip
    """A dashboard with the variables and links that all of them share."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .refresh("30s")
        .time("now-24h", "now")
        .timezone("browser")
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(variable("job", "Job", "label_values(alignwatch_build_info, job)", multi=True))
        .link(
            dashboard.DashboardLink("alignwatch")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
    )
    if deployment:
        query = 'label_values(alignwatch_deployment_state{job=~"$job"}, deployment)'
        made = made.with_variable(variable("deployment", "Deployment", query, multi=several))
    if marks:
        made = (
            made.annotation(
                mark("Began", "alignwatch_incident_onset_timestamp_seconds", "orange", "began: {{verdict}}")
            )
            .annotation(
                mark("Detected", "alignwatch_incident_detected_timestamp_seconds", RED, "detected: {{verdict}}")
            )
            .annotation(
                mark("Change", "alignwatch_incident_change_timestamp_seconds", BLUE, "change before {{verdict}}")
            )
        )
    for name, panels in rows:
        if name:
            made = made.with_row(dashboard.Row(name))
        for panel in panels:
            made = made.with_panel(panel)
    return made.build()
