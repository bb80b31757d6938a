"""GET /experiments: how the variants of live experiments stand."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ragopt.api.rendering import Json
from ragopt.api.running import running
from ragopt.api.schemas import ProblemOut, Wire
from ragopt.api.security import BEARER, AdminCaller, KeyedRoute
from ragopt.errors import NotFound
from ragopt.experiments.judging import LossSums, Verdict, difference, verdict
from ragopt.settings.experiments import ExperimentSettings, Loss, VariantSettings
from ragopt.state.experiments import LOSSES, Experiments

router = APIRouter(
    route_class=KeyedRoute, dependencies=[BEARER], tags=["experiments"], responses={"4XX": {"model": ProblemOut}}
)


class LossOut(Wire):
    """A loss of a variant: how many answers told it, its mean, and the mean less the control's with its bounds.

    The bounds hold at all times together, but for the experiment's `alpha`; null before a hundred answers a side.
    """

    n: int
    mean: float
    difference: float
    low: float | None
    high: float | None


class VariantOut(Wire):
    """One variant; `stopped`: a guard has ended it, and its traffic goes to the control."""

    name: str
    share: float
    verdict: Verdict | None
    stopped: bool
    losses: dict[Loss, LossOut]


class ExperimentOut(Wire):
    """One experiment; the first variant is the control and has no verdict."""

    name: str
    goal: Loss
    variants: list[VariantOut]


class ExperimentsResponse(Wire):
    """The experiments that are for the caller's tenant."""

    experiments: list[ExperimentOut]


@router.get("/experiments", responses={200: {"model": ExperimentsResponse}})
async def experiments(request: Request, caller: AdminCaller) -> Response:
    """Return what was seen of every variant; looking often changes nothing of what may be said. Needs `admin`."""
    kept = running(request).service.experiments
    ours = [experiment for experiment in kept.settings if experiment.tenant in ("*", caller.tenant)]
    return JSONResponse({"experiments": [await experiment_json(experiment, kept) for experiment in ours]})


@router.get("/experiments/{name}", responses={200: {"model": ExperimentOut}})
async def experiment(request: Request, name: str, caller: AdminCaller) -> Response:
    """Return one experiment. Raises: `NotFound`."""
    kept = running(request).service.experiments
    for found in kept.settings:
        if found.name == name and found.tenant in ("*", caller.tenant):
            return JSONResponse(await experiment_json(found, kept))
    raise NotFound(f"There is no experiment {name!r}.")


async def experiment_json(described: ExperimentSettings, kept: Experiments) -> Json:
    """Return the experiment with the sums of its variants. Raises: `StateUnavailable`."""
    stopped = await kept.stopped()
    seen = [await kept.sums(described.name, variant.name) for variant in described.variants]
    variants = []
    for place, variant in enumerate(described.variants):
        pairs = {loss: (seen[place][loss], seen[0][loss]) for loss in LOSSES}
        judged = None if place == 0 else verdict(pairs, described)
        is_stopped = f"{described.name}/{variant.name}" in stopped
        variants.append(variant_json(variant, pairs, judged=judged, stopped=is_stopped, alpha=described.alpha))
    return {"name": described.name, "goal": described.goal, "variants": variants}


def variant_json(
    variant: VariantSettings,
    pairs: dict[Loss, tuple[LossSums, LossSums]],
    *,
    judged: Verdict | None,
    stopped: bool,
    alpha: float,
) -> Json:
    """Return one variant beside the control."""
    return {
        "name": variant.name,
        "share": variant.share,
        "verdict": "stopped" if stopped else judged,
        "stopped": stopped,
        "losses": {loss: loss_json(*pair, alpha=alpha) for loss, pair in pairs.items()},
    }


def loss_json(variant: LossSums, control: LossSums, *, alpha: float) -> Json:
    """Return one loss of a variant beside the control's."""
    found = difference(variant, control, alpha=alpha)
    return {"n": variant.n, "mean": variant.mean, "difference": found.value, "low": found.low, "high": found.high}
