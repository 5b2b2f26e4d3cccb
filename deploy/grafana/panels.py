"""The panels of the dashboard and the expressions in them; `build.py` says which there are."""

from typing import Any, Final, NamedTuple

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    dashboard,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
WORKER: Final = 'job="$job", instance=~"$instance"'
TRAINER: Final = 'job="${job}-trainer"'
RATE: Final = "[$__rate_interval]"
REFERENCES: Final = "ABCDEFGH"
MONTH_S: Final = 730 * 3_600
"""As `streams.cost.bill` has it."""


STORED: Final = f"sum(max by (kind) (duoshou_stored_bytes{{{WORKER}}}))"
PARTS: Final = ("cpu", "memory", "storage", "written")
"""Of a bill."""


class Query(NamedTuple):
    """One expression of a panel and the name of its series."""

    expr: str
    legend: str


def quantile(q: str, metric: str, by: str = "") -> str:
    """A quantile of a histogram over all selected workers."""
    labels = f"le, {by}" if by else "le"
    return (
        f"histogram_quantile({q}, "
        f"sum by ({labels}) (rate({metric}_bucket{{{WORKER}}}{RATE})))"
    )


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Growth of a counter a second over all selected workers."""
    selector = f"{WORKER}, {where}" if where else WORKER
    return f"sum by ({by}) (rate({metric}{{{selector}}}{RATE}))"


def trained(metric: str, by: str = "") -> str:
    """Growth of a counter a second over the trainers."""
    return f"sum by ({by}) (rate({metric}{{{TRAINER}}}{RATE}))"


def cost_a_second(part: str) -> str:
    """What a part of the bill costs in a second, by the prices that the workers export.

    The parts are those of `streams.cost.bill`. Every worker says how large all topics are, so their
    figures are not summed.
    """

    def price(of: str) -> str:
        return f'max(duoshou_price{{{WORKER}, of="{of}"}})'

    memory = f"sum(process_resident_memory_bytes{{{WORKER}}})"
    return {
        "cpu": f"{rate('process_cpu_seconds_total')} * {price('cpu_hour')} / 3600",
        "memory": f"{memory} / 1e9 * {price('memory_gb_month')} / {MONTH_S}",
        "storage": f"{STORED} / 1e9 * {price('storage_gb_month')} / {MONTH_S}",
        "written": f"{rate('duoshou_written_bytes_total')} / 1e9 * {price('written_gb')}",
    }[part]


def steps(*bounds: tuple[float | None, str]) -> Any:
    """Colours from the bound on; the first bound is None."""
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=color) for value, color in bounds])
    )


def _legend() -> Any:
    return (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    )


class Panels:
    """Adds panels to a dashboard; what all of them need is said here once."""

    def __init__(self, board: Any) -> None:
        self._board = board

    def row(self, title: str) -> None:
        """Begin a row."""
        self._board.with_row(dashboard.Row(title))

    def stat(
        self, title: str, unit: str, expr: str, description: str, thresholds: Any, span: int = 4
    ) -> None:
        """A single figure with its recent course."""
        self._board.with_panel(
            self._with_queries(stat.Panel(), [Query(expr, title)])
            .title(title)
            .description(description)
            .unit(unit)
            .span(span)
            .height(4)
            .graph_mode(BigValueGraphMode.AREA)
            .color_mode(BigValueColorMode.VALUE)
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
            .thresholds(thresholds)
        )

    def series(
        self, title: str, unit: str, queries: list[Query], description: str, span: int = 8
    ) -> None:
        """Lines over time."""
        self._board.with_panel(
            self._with_queries(timeseries.Panel(), queries)
            .title(title)
            .description(description)
            .unit(unit)
            .span(span)
            .height(8)
            .min(0)
            .fill_opacity(8)
            .show_points(VisibilityMode.NEVER)
            .legend(_legend())
            .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        )

    def table(self, title: str, expr: str, description: str, span: int) -> None:
        """The labels of a metric whose value says nothing."""
        query = self._query(0, Query(expr, "")).format(PromQueryFormat.TABLE).instant()
        hidden = {"Time": True, "Value": True, "__name__": True, "job": True}
        self._board.with_panel(
            table.Panel()
            .datasource(DATASOURCE)
            .with_target(query)
            .title(title)
            .description(description)
            .unit("none")
            .span(span)
            .height(8)
            .show_header(True)
            .with_transformation(
                DataTransformerConfig(id_val="organize", options={"excludeByName": hidden})
            )
        )

    def bars(
        self, title: str, unit: str, label: str, queries: list[Query], description: str, span: int
    ) -> None:
        """The newest values beside each other, by a label that is a number."""
        panel = barchart.Panel().datasource(DATASOURCE)
        names, hidden = {}, {"Time": True}
        for position, query in enumerate(queries):
            target = self._query(position, query).format(PromQueryFormat.TABLE).instant()
            panel.with_target(target)
            # As Grafana calls the columns once they are joined.
            names[f"Value #{REFERENCES[position]}"] = query.legend
            hidden[f"Time {position + 1}"] = True
        number = {"targetField": label, "destinationType": "number"}
        into_rows: dict[str, dict[str, Any]] = {
            "joinByField": {"byField": label, "mode": "outer"},
            "organize": {"excludeByName": hidden, "renameByName": names},
            "convertFieldType": {"conversions": [number]},
            "sortBy": {"sort": [{"field": label}]},
        }
        for name, options in into_rows.items():
            panel.with_transformation(DataTransformerConfig(id_val=name, options=options))
        self._board.with_panel(
            panel.title(title)
            .description(description)
            .unit(unit)
            .span(span)
            .height(8)
            .min(0)
            .x_field(label)
            .show_value(VisibilityMode.NEVER)
            .legend(_legend())
            .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        )

    def _with_queries(self, panel: Any, queries: list[Query]) -> Any:
        panel.datasource(DATASOURCE)
        for position, query in enumerate(queries):
            panel.with_target(self._query(position, query).range())
        return panel

    @staticmethod
    def _query(position: int, query: Query) -> Any:
        return (
            prometheus.Dataquery()
            .datasource(DATASOURCE)
            .ref_id(REFERENCES[position])
            .expr(query.expr)
            .legend_format(query.legend)
        )
