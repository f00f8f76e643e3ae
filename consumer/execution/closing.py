"""Steps 7 to 10 in one transaction: sums over the chunks, a last check of what was written, the terminal state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from consumer.errors import PermanentError
from consumer.execution.models import about_models
from consumer.execution.storing import store_bundle, store_models
from consumer.failpoints import reach
from consumer.forecasting.summary import merge, without_bands
from consumer.steps import Step
from schemas.enums import ErrorCode, StatusExecucao

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from consumer.execution.models import ModelsOfRun
    from consumer.execution.run import Plan, Run
    from consumer.forecasting.champion import Bundle
    from consumer.model import Execution
    from consumer.ports.fenced import FencedWork

NOT_MEASURED = "a predict measures nothing: its weeks have not happened yet; run a backtest"
NO_REVENUE = "only a predict writes revenue; this command measures volume"
NO_RESULTS = "only a predict writes forecast_resultado"


@dataclass(frozen=True, slots=True)
class Computed:
    """What all chunks of an execution came to.

    Attributes:
        summaries: ``ChunkResult.summary`` of each, in chunk order.
        rows: Of ``forecast_resultado``.
        unstorable: Metrics that became NULL.
        checked: How it is known that the rows are there, once each.
    """

    summaries: Sequence[dict[str, Any]]
    rows: int
    unstorable: int
    checked: str


async def close(run: Run, plan: Plan, models: ModelsOfRun) -> None:
    """End the execution with its summary.

    Raises:
        PermanentError: No product could be forecast, or the table does not hold what the chunks wrote.
    """
    bundle = await store_bundle(run, plan, models)
    async with run.queue.fenced(run.claim.lease) as work:
        summaries = await work.summaries()
        rows = sum(summary["rows"] for summary in summaries)
        unstorable = sum(summary["unstorable_metrics"] for summary in summaries)
        if run.task == "predict":
            await _check_rows(work, rows)
        computed = Computed(summaries, rows, unstorable, "rows counted in the table")
        await conclude(run, plan, models, computed, work, bundle)
        reach("before_terminal_commit")
    reach("after_terminal_commit")


async def conclude(
    run: Run, plan: Plan, models: ModelsOfRun, computed: Computed, work: FencedWork, bundle: Bundle | None = None
) -> None:
    """Steps 7 to 10 and the terminal state.

    Raises:
        PermanentError: No product could be forecast.
    """
    now = run.clock.now()
    resumo = merge(computed.summaries, plan.missing)
    if bundle is not None and "metrics" in resumo:
        resumo = without_bands(resumo)
    resumo |= {"as_of": plan.as_of.isoformat(), "horizon_weeks": plan.horizon, "seed": plan.seed}
    resumo["trained_models"] = _trained_models(plan, models)
    _refuse_empty(resumo)
    if run.task == "predict":
        _log_predict(work.execution, resumo, computed, now)
    else:
        _log_measured(work.execution, resumo, computed.unstorable, now)
    resumo["rows"] = computed.rows
    await _finalize(run, plan, work, resumo, bundle, now)


def _trained_models(plan: Plan, models: ModelsOfRun) -> dict[str, Any]:
    """What of trained models was used, or why none."""
    if plan.models is None:
        return {"used": False, "reason": plan.untrained}
    about = about_models(plan, models)
    if models.lost is not None:
        return {"used": False, "reason": f"lost while the execution ran: {models.lost}", **about}
    return {"used": True, **about}


def _refuse_empty(resumo: dict[str, Any]) -> None:
    failed = resumo["failed"]
    if failed["count"] == resumo["products"]:
        first = failed["products"][0]
        message = f"none of the {failed['count']} products could be forecast; {first['product_id']}: {first['message']}"
        raise PermanentError(ErrorCode.NO_DATA, message)


def _log_predict(execution: Execution, resumo: dict[str, Any], computed: Computed, now: datetime) -> None:
    done = resumo["products"] - resumo["failed"]["count"]
    details = {"without_price": resumo["without_price"], "computed": "with each chunk of the model steps"}
    execution.complete_step(Step.CALCULATE_REVENUE, now, records=done - resumo["without_price"], details=details)
    execution.skip_step(Step.CALCULATE_METRICS, now, NOT_MEASURED)
    execution.complete_step(Step.SAVE_RESULTS, now, records=computed.rows, details={"checked": computed.checked})


async def _check_rows(work: FencedWork, rows: int) -> None:
    """Each forecast exactly once: planning would read a doubled row as doubled demand."""
    found = await work.count_results()
    if found != rows:
        message = f"forecast_resultado holds {found} rows of this execution, its chunks wrote {rows}"
        raise PermanentError(ErrorCode.INTERNAL, message)


def _log_measured(execution: Execution, resumo: dict[str, Any], unstorable: int, now: datetime) -> None:
    execution.skip_step(Step.CALCULATE_REVENUE, now, NO_REVENUE)
    details: dict[str, Any] = {"overall": resumo.get("metrics", {}).get("overall")}
    if unstorable:
        details["stored_as_null"] = unstorable
    measured = resumo["products"] - resumo["failed"]["count"] - resumo.get("not_measured", {}).get("count", 0)
    execution.complete_step(Step.CALCULATE_METRICS, now, records=measured, details=details)
    execution.skip_step(Step.SAVE_RESULTS, now, NO_RESULTS)


async def _finalize(
    run: Run, plan: Plan, work: FencedWork, resumo: dict[str, Any], bundle: Bundle | None, now: datetime
) -> None:
    work.execution.start_step(Step.FINALIZE, now)
    if run.task == "train":
        resumo["models_trained"] = await store_models(run, plan, work, resumo, bundle)
    work.execution.complete_step(Step.FINALIZE, run.clock.now(), records=resumo["products"])
    failed = resumo["failed"]["count"]
    status = StatusExecucao.PARCIAL if failed else StatusExecucao.CONCLUIDO
    work.execution.finish(status, run.clock.now(), resumo=resumo)
