"""GET /stats: what the caller's tenant spent and saved, and how far it is from its targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from ragopt.api.fields import Money
from ragopt.api.rendering import Json, money
from ragopt.api.running import running
from ragopt.api.schemas import ProblemOut, Wire
from ragopt.api.security import BEARER, AdminCaller, KeyedRoute
from ragopt.domain import Technique
from ragopt.money.drift import DAYS_BEFORE, Alarm, AlarmKind, alarms
from ragopt.money.stats import Stats, Sums, last_days, stats_of
from ragopt.money.targets import Aim, Paying, TechniquePay, gaps, paying
from ragopt.settings.money import TargetSettings
from ragopt.state.ledger import DaySums

MAX_DAYS = 366

router = APIRouter(
    route_class=KeyedRoute, dependencies=[BEARER], tags=["money"], responses={"4XX": {"model": ProblemOut}}
)


class SumsOut(Wire):
    """Model calls and answers, and their money; `unpriced_calls` have no known price and are not in `spent_usd`."""

    calls: Annotated[int, Field(description="model calls that used tokens")]
    failed_calls: Annotated[
        int, Field(description="attempts that ended with an error; one that used no token is not in `calls`")
    ]
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
    kind: AlarmKind
    cost_per_answer_usd: Money
    limit_usd: Money


class QualityOut(Wire):
    """What the answers were worth: judged claims and those of them that passages carry, ratings, and times."""

    abstained: int
    claims: int
    supported: int
    rated: int
    liked: int
    timed: int
    p50_ms: Annotated[float | None, Field(description="of the timed answers, at most a tenth too long")]
    p95_ms: float | None


class GapOut(Wire):
    """A target of `[targets]` and what was reached; null where too few answers were given to judge."""

    name: Aim
    target: float
    reached: float | None
    gap: Annotated[float | None, Field(description="how far beyond what is allowed, as a share of it; met: 0 or less")]
    met: bool | None
    n: Annotated[int, Field(description="answers, claims or ratings that were judged")]


class TechniqueOut(Wire):
    """What a technique saved, in all and for 1,000 answers of the earlier and the later half of the days."""

    name: Technique
    saved_usd: Money
    earlier_usd: Money | None
    later_usd: Money | None
    verdict: Paying


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
    quality: QualityOut
    targets: Annotated[list[GapOut], Field(description="the largest gap first")]
    techniques: Annotated[list[TechniqueOut], Field(description="what saved the most first")]
    alarms: list[AlarmOut]
    lost_writes: int


@router.get("/stats", responses={200: {"model": StatsResponse}})
async def stats(request: Request, caller: AdminCaller, days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 30) -> Response:
    """Return what was spent and saved by model, user, team, feature, technique and day; needs the scope `admin`."""
    service = running(request).service
    read = await service.accounts.ledger.days(caller.tenant, last_days(datetime.now(UTC).date(), days + DAYS_BEFORE))
    standing = standing_json(read, service.settings.targets, tenant=caller.tenant, days=days)
    return JSONResponse({**standing, "lost_writes": service.accounts.ledger.lost})


def standing_json(read: Sequence[DaySums], targets: TargetSettings, *, tenant: str, days: int) -> Json:
    """Return how a tenant stands after its last `days`; what was read goes further back, for the alarms to compare."""
    asked = read[-days:]
    report = stats_of(asked)
    return {
        "tenant": tenant,
        "days": days,
        **stats_json(report),
        "targets": [{**asdict(gap), "met": gap.met} for gap in gaps(report, targets)],
        "techniques": [pay_json(pay) for pay in paying(asked)],
        "alarms": [alarm_json(alarm) for alarm in alarms(read, targets, since=asked[0].day)],
    }


def stats_json(report: Stats) -> Json:
    """Return the report with money as decimal strings."""
    return {
        "total": total_json(report.total),
        **{f"by_{dimension}": named_json(names) for dimension, names in report.by.items()},
        "by_technique": {name: money(amount) for name, amount in report.by_technique.items()},
        "by_day": [{"day": day.isoformat(), **total_json(sums)} for day, sums in report.by_day],
        "quality": asdict(report.quality),
    }


def named_json(names: Mapping[str, Sums]) -> Json:
    """Return the sums of each name of one dimension."""
    return {name: sums_json(sums) for name, sums in names.items()}


def sums_json(sums: Sums) -> Json:
    """Return what every dimension has."""
    return {
        "calls": sums.calls,
        "failed_calls": sums.failed_calls,
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


def pay_json(pay: TechniquePay) -> Json:
    """Return what one technique saved, and whether it still pays."""
    return {
        "name": pay.name,
        "saved_usd": money(pay.saved_usd),
        "earlier_usd": money(pay.earlier_usd),
        "later_usd": money(pay.later_usd),
        "verdict": pay.verdict,
    }


def alarm_json(alarm: Alarm) -> Json:
    """Return one alarm."""
    return {
        "day": alarm.day.isoformat(),
        "kind": alarm.kind,
        "cost_per_answer_usd": money(alarm.cost_per_answer_usd),
        "limit_usd": money(alarm.limit_usd),
    }
