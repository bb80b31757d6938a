"""GET /stats: what the caller's tenant spent and saved."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from ragopt.api.fields import Money
from ragopt.api.rendering import Json, money
from ragopt.api.running import running
from ragopt.api.schemas import ProblemOut, Wire
from ragopt.api.security import BEARER, AdminCaller, KeyedRoute
from ragopt.domain import Technique
from ragopt.money.drift import DAYS_BEFORE, Alarm, alarms
from ragopt.money.stats import Stats, Sums, last_days, stats_of

MAX_DAYS = 366

router = APIRouter(
    route_class=KeyedRoute, dependencies=[BEARER], tags=["money"], responses={"4XX": {"model": ProblemOut}}
)


class SumsOut(Wire):
    """Model calls and answers, and their money; `unpriced_calls` have no known price and are not in `spent_usd`."""

    calls: int
    unpriced_calls: int
    answers: int
    spent_usd: Money
    saved_usd: Money


class TotalOut(SumsOut):
    """The tenant's sums; `answers_without_savings` are not in `baseline_usd` and `saved_usd`."""

    answers_without_savings: int
    baseline_usd: Money


class DayOut(TotalOut):
    """The sums of one UTC day."""

    day: str


class AlarmOut(Wire):
    """A day on which an answer cost more, on average, than the days before or the target allow."""

    day: str
    kind: Literal["cost_drift", "cost_target"]
    cost_per_answer_usd: Money
    limit_usd: Money


class StatsResponse(Wire):
    """What the tenant spent and saved in the last days, today included."""

    tenant: str
    days: int
    total: TotalOut
    by_model: dict[str, SumsOut]
    by_user: dict[str, SumsOut]
    by_team: dict[str, SumsOut]
    by_feature: dict[str, SumsOut]
    by_technique: dict[Technique, Money]
    by_day: list[DayOut]
    alarms: list[AlarmOut]
    lost_writes: int


@router.get("/stats", responses={200: {"model": StatsResponse}})
async def stats(request: Request, caller: AdminCaller, days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 30) -> Response:
    """Return what was spent and saved by model, user, team, feature, technique and day; needs the scope `admin`."""
    service = running(request).service
    read = await service.accounts.ledger.days(caller.tenant, last_days(datetime.now(UTC).date(), days + DAYS_BEFORE))
    asked = read[-days:]
    found = alarms(read, service.settings.targets, since=asked[0].day)
    return JSONResponse(
        {
            "tenant": caller.tenant,
            "days": days,
            **stats_json(stats_of(asked)),
            "alarms": [alarm_json(alarm) for alarm in found],
            "lost_writes": service.accounts.ledger.lost,
        }
    )


def stats_json(report: Stats) -> Json:
    """Return the report with money as decimal strings."""
    return {
        "total": total_json(report.total),
        **{f"by_{dimension}": named_json(names) for dimension, names in report.by.items()},
        "by_technique": {name: money(amount) for name, amount in report.by_technique.items()},
        "by_day": [{"day": day.isoformat(), **total_json(sums)} for day, sums in report.by_day],
    }


def named_json(names: Mapping[str, Sums]) -> Json:
    """Return the sums of each name of one dimension."""
    return {name: sums_json(sums) for name, sums in names.items()}


def sums_json(sums: Sums) -> Json:
    """Return what every dimension has."""
    return {
        "calls": sums.calls,
        "unpriced_calls": sums.unpriced_calls,
        "answers": sums.answers,
        "spent_usd": money(sums.spent_usd),
        "saved_usd": money(sums.saved_usd),
    }


def total_json(sums: Sums) -> Json:
    """Return what only the tenant and its days have as well."""
    return {
        **sums_json(sums),
        "answers_without_savings": sums.answers_without_savings,
        "baseline_usd": money(sums.baseline_usd),
    }


def alarm_json(alarm: Alarm) -> Json:
    """Return one alarm."""
    return {
        "day": alarm.day.isoformat(),
        "kind": alarm.kind,
        "cost_per_answer_usd": money(alarm.cost_per_answer_usd),
        "limit_usd": money(alarm.limit_usd),
    }
