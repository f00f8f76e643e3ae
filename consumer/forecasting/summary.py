"""What an execution did, counted: each chunk leaves exact sums as JSON, and the sums add up to the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from consumer.forecasting.backtesting import Sums, add, measures
from consumer.forecasting.revenue import DIVERGENCE
from consumer.forecasting.types import ProductFailure, Variant
from schemas.enums import ClasseABC

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from consumer.forecasting.history import Rows

LISTED: Final = 100
MESSAGE_LENGTH: Final = 300
_MODEL, _BASELINE = "model", "baseline"
_COUNTERS: Final = ("models", "chosen_by", "fallbacks", "history_rules")
_HASH_BYTES: Final = 16
IN_SAMPLE: Final = "calibrated on the weeks that are measured here: a backtest tells their coverage and pinball loss"
_OF_BANDS: Final = ("pinball", "coverage_p10_p90", "coverage_p25_p75")
_CHOSEN: Final = ("metrics_by_model", "metrics_by_family")


@dataclass(slots=True)
class Tally:
    """Counts of some products; a chunk fills one, and ``merge`` adds them into another.

    Attributes:
        counters: By kind (``models``, ``chosen_by``, ``fallbacks``, ``history_rules``), by name.
        errors: Of the chosen models (``model``) and of the moving average (``baseline``), by ABC class.
        errors_by_model: Of the chosen models, by variant.
        failed: How many products failed, ``failures`` the first of them.
        not_measured: How many are too new to be measured, ``too_new`` the first of them.
        divergent: How many have two forecasts of revenue that contradict each other, ``divergences`` the first.
        data: Sum of the hashes of the products' rows, so it does not depend on the order.
    """

    products: int = 0
    without_price: int = 0
    counters: dict[str, dict[str, int]] = field(default_factory=lambda: {kind: {} for kind in _COUNTERS})
    errors: dict[str, dict[str, Sums]] = field(default_factory=lambda: {_MODEL: {}, _BASELINE: {}})
    errors_by_model: dict[str, Sums] = field(default_factory=dict)
    failed: int = 0
    failures: list[list[str]] = field(default_factory=list)
    not_measured: int = 0
    too_new: list[str] = field(default_factory=list)
    divergent: int = 0
    divergences: list[str] = field(default_factory=list)
    data: int = 0

    def count(self, kind: str, name: str) -> None:
        """Count one product under a name."""
        counter = self.counters[kind]
        counter[name] = counter.get(name, 0) + 1

    def fail(self, failure: ProductFailure) -> None:
        """Count a failed product."""
        self.failed += 1
        if len(self.failures) < LISTED:
            self.failures.append([failure.product_id, failure.code, failure.message[:MESSAGE_LENGTH]])

    def leave_out(self, product_id: str) -> None:
        """Count a product whose history begins in the holdout."""
        self.not_measured += 1
        if len(self.too_new) < LISTED:
            self.too_new.append(product_id)

    def diverge(self, product_id: str) -> None:
        """Count a product whose two forecasts of revenue contradict each other."""
        self.divergent += 1
        if len(self.divergences) < LISTED:
            self.divergences.append(product_id)

    def measure(self, abc: ClasseABC, variant: Variant, model: Sums, baseline: Sums) -> None:
        """Add one product's errors."""
        add(self.errors[_MODEL].setdefault(abc, {}), model)
        add(self.errors[_BASELINE].setdefault(abc, {}), baseline)
        add(self.errors_by_model.setdefault(variant, {}), model)

    def hash_rows(self, product_id: str, rows: Rows) -> None:
        """Add the rows that were read to the fingerprint of the data."""
        digest = blake2b(product_id.encode(), digest_size=_HASH_BYTES)
        for values in (rows.week, rows.volume, rows.revenue):
            digest.update(values.tobytes())
        self.data = (self.data + int.from_bytes(digest.digest())) % 2 ** (8 * _HASH_BYTES)

    def to_json(self) -> dict[str, object]:
        """The form in ``ChunkResult.summary``."""
        return {name: getattr(self, name) for name in self.__slots__} | {"data": f"{self.data:x}"}

    def add_json(self, value: Mapping[str, Any]) -> None:
        """Add what ``to_json`` wrote; other keys are left alone."""
        for name in ("products", "without_price", "failed", "not_measured", "divergent"):
            setattr(self, name, getattr(self, name) + value[name])
        for kind, counter in value["counters"].items():
            add(self.counters[kind], counter)
        for whose, classes in value["errors"].items():
            for abc, sums in classes.items():
                add(self.errors[whose].setdefault(abc, {}), sums)
        for variant, sums in value["errors_by_model"].items():
            add(self.errors_by_model.setdefault(variant, {}), sums)
        self.failures += value["failures"][: LISTED - len(self.failures)]
        self.too_new += value["too_new"][: LISTED - len(self.too_new)]
        self.divergences += value["divergences"][: LISTED - len(self.divergences)]
        self.data = (self.data + int(value["data"], 16)) % 2 ** (8 * _HASH_BYTES)


def merge(summaries: Iterable[Mapping[str, Any]], missing: Sequence[ProductFailure] = ()) -> dict[str, Any]:
    """Add up the chunks' summaries into ``resultado_resumo``.

    Args:
        summaries: ``ChunkResult.summary`` of every chunk, in chunk order.
        missing: Products that were asked for and never planned; they count as failed, before the others.

    Returns:
        JSON: counts per model, per rule that chose, per reason of a fallback and per rule of the history; the
            failed
        products; for train and backtest ``metrics`` per ABC class and overall, of the models and of the
        moving average, and ``metrics_by_model`` and ``metrics_by_family``; see ``backtesting.measures`` for
        units.
    """
    tally = Tally(products=len(missing))
    for failure in missing:
        tally.fail(failure)
    for summary in summaries:
        tally.add_json(summary)
    return _report(tally)


def without_bands(resumo: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what a train cannot know: how well bands do that were calibrated on the very weeks that it measures."""
    metrics = {
        part: {whose: _without(found, _OF_BANDS) if whose == _MODEL else found for whose, found in sides.items()}
        for part, sides in resumo.get("metrics", {}).items()
    }
    chosen = {
        kind: {name: _without(found, _OF_BANDS) for name, found in resumo.get(kind, {}).items()} for kind in _CHOSEN
    }
    return {**resumo, "metrics": metrics, **chosen, "bands": IN_SAMPLE}


def _without(found: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in names}


def _report(tally: Tally) -> dict[str, Any]:
    named = ("product_id", "code", "message")
    report: dict[str, Any] = {
        "products": tally.products,
        **{kind: dict(sorted(tally.counters[kind].items())) for kind in _COUNTERS},
        "without_price": tally.without_price,
        "failed": {
            "count": tally.failed,
            "products": [dict(zip(named, entry, strict=True)) for entry in tally.failures],
        },
        "data_hash": f"{tally.data:0{2 * _HASH_BYTES}x}",
    }
    if tally.divergent:
        report["divergent_revenue"] = {
            "count": tally.divergent,
            "threshold": DIVERGENCE,
            "products": tally.divergences,
        }
    if tally.not_measured:
        report["not_measured"] = {"count": tally.not_measured, "products": tally.too_new}
    if tally.errors_by_model:
        report |= _metrics(tally)
    return report


def _metrics(tally: Tally) -> dict[str, Any]:
    overall = {whose: _total(classes.values()) for whose, classes in tally.errors.items()}
    families: dict[str, list[Sums]] = {}
    for variant, sums in sorted(tally.errors_by_model.items()):
        families.setdefault(Variant(variant).modelo, []).append(sums)
    return {
        "metrics": {
            "overall": {whose: measures(sums) for whose, sums in overall.items()},
            **{
                abc: {whose: measures(classes[abc]) for whose, classes in tally.errors.items()}
                for abc in ClasseABC
                if abc in tally.errors[_MODEL]
            },
        },
        "metrics_by_model": {name: measures(sums) for name, sums in sorted(tally.errors_by_model.items())},
        "metrics_by_family": {name: measures(_total(parts)) for name, parts in sorted(families.items())},
    }


def _total(parts: Iterable[Sums]) -> Sums:
    total: Sums = {}
    for part in parts:
        add(total, part)
    return total
