"""Which models are tried on a product, in order: the table of ``docs/forecasting.md`` and its overrides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from consumer.forecasting.types import Variant
from schemas.enums import ClasseABC, ModeloForecast, PadraoDemanda

if TYPE_CHECKING:
    from collections.abc import Mapping

MINIMUM_WEEKS: Final = 40
_TRAINED: Final = frozenset({Variant.TFT, Variant.LGBM, Variant.ENSEMBLE})
AVAILABLE: Final = frozenset(Variant) - _TRAINED

_SHORT: Final = (Variant.SIMPLE_ETS, Variant.NAIVE)
_LONG: Final = (Variant.AUTO_ETS, Variant.NAIVE)
_TABLE: Final[Mapping[tuple[PadraoDemanda, ClasseABC], tuple[Variant, ...]]] = {
    (PadraoDemanda.REGULAR, ClasseABC.A): (Variant.TFT, Variant.LGBM),
    (PadraoDemanda.REGULAR, ClasseABC.B): (Variant.TFT, Variant.LGBM),
    (PadraoDemanda.REGULAR, ClasseABC.C): _LONG,
    (PadraoDemanda.ERRATICO, ClasseABC.A): (Variant.TFT, *_LONG),
    (PadraoDemanda.ERRATICO, ClasseABC.B): (Variant.TFT, *_LONG),
    (PadraoDemanda.ERRATICO, ClasseABC.C): _LONG,
    **{(PadraoDemanda.INTERMITENTE, abc): (Variant.TSB, Variant.CROSTON, Variant.SBA) for abc in ClasseABC},
    **{(PadraoDemanda.LUMPY, abc): (Variant.TSB, Variant.BOOTSTRAP) for abc in ClasseABC},
}
_FAMILIES: Final[Mapping[ModeloForecast, tuple[Variant, ...]]] = {
    ModeloForecast.TFT: (Variant.TFT, Variant.LGBM),
    ModeloForecast.LGBM: (Variant.LGBM,),
    ModeloForecast.ENSEMBLE: (Variant.ENSEMBLE, Variant.LGBM),
    ModeloForecast.CROSTON: (Variant.CROSTON, Variant.SBA),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen for a product.

    Attributes:
        models: To try, in order.
        reason: What chose them.
        fallback: Why the first choice is not the first; None if it is.
        overridden: Whether the command or the product named a model.
    """

    models: tuple[Variant, ...]
    reason: str
    fallback: str | None = None
    overridden: bool = False


@lru_cache(maxsize=4096)  # tens of thousands of products differ in little of what decides
def select(
    pattern: PadraoDemanda,
    abc: ClasseABC,
    weeks: int,
    *,
    suggested: str | None = None,
    modelo: ModeloForecast | None = None,
    available: frozenset[Variant] = AVAILABLE,
) -> Selection:
    """Choose a product's models.

    The command's model stands above the product's suggestion, that above the rule for short histories, and
    that above the table. What an override names is tried first, then what would have been chosen without it.

    Args:
        pattern: Demand pattern of the product.
        abc: Revenue class of the product.
        weeks: Age of the product in weeks, from the first sale on.
        suggested: ``modelo_forecast_sugerido`` of the product: a family or a variant, in any case.
        modelo: The command's ``modelo``.
        available: Variants that this installation can run.
    """
    short = weeks < MINIMUM_WEEKS
    wanted, reason = (_SHORT, f"fewer than {MINIMUM_WEEKS} weeks") if short else _row(pattern, abc)
    unknown, named = None, _variants_named(suggested, short=short) if suggested else ()
    if suggested and named:
        wanted, reason = (*named, *wanted), f"product suggests {suggested.strip().upper()}"
    elif suggested:
        unknown = f"suggested model {suggested.strip()[:50]!r} is unknown"
    if modelo is not None:
        wanted, reason = (*_family(modelo, short=short), *wanted), f"command asks for {modelo}"
    chosen = _available(wanted, reason, unknown, available, _SHORT if short else _LONG)
    return replace(chosen, overridden=modelo is not None or bool(named))


def _row(pattern: PadraoDemanda, abc: ClasseABC) -> tuple[tuple[Variant, ...], str]:
    return _TABLE[pattern, abc], f"{pattern}, class {abc}"


def _family(modelo: ModeloForecast, *, short: bool) -> tuple[Variant, ...]:
    if modelo is ModeloForecast.ETS:
        return _SHORT if short else _LONG
    return _FAMILIES[modelo]


def _variants_named(name: str, *, short: bool) -> tuple[Variant, ...]:
    """Read a free-text suggestion: a family, a variant, or several with a slash between (``Croston/TSB``)."""
    found: list[Variant] = []
    for spelled in name.upper().split("/"):
        part = spelled.strip().replace(" ", "_").replace("-", "_")
        # A name that is both, as CROSTON, means the family, whose first model is the variant of that name.
        if part in ModeloForecast.__members__:
            found += _family(ModeloForecast(part), short=short)
        elif part in Variant.__members__:
            found.append(Variant(part))
        else:
            return ()
    return tuple(found)


def _available(
    wanted: tuple[Variant, ...],
    reason: str,
    unknown: str | None,
    available: frozenset[Variant],
    substitute: tuple[Variant, ...],
) -> Selection:
    usable = [variant for variant in wanted if variant in available]
    if _TRAINED.issuperset(usable):  # their files may be lost by the time they are used
        usable += substitute
    models = tuple(dict.fromkeys(usable))
    skipped = wanted[: wanted.index(models[0])] if models[0] in wanted else wanted
    missing = ", ".join(dict.fromkeys(skipped))
    notes = [note for note in (unknown, f"{missing} not available" if missing else None) if note]
    return Selection(models, reason, "; ".join(notes) or None)
