"""Which trained model is used: a challenger replaces the champion only if it is clearly better."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from consumer.forecasting.champion import Champion, TrainedModel

# A model of a part of the catalogue is not compared with one of much more of it.
COMPARABLE_SHARE: Final = 0.5
_DECIMALS: Final = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a challenger is promoted, and why."""

    promoted: bool
    reason: str


def beats(challenger_error: float | None, champion_error: float | None, margin_points: float = 1.0) -> bool:
    """Whether a challenger is promoted: lower by the margin at least, or the first that was measured.

    Args:
        challenger_error: WAPE in percent; None or not finite never wins.
        champion_error: WAPE in percent; None or not finite always loses to one that was measured.
        margin_points: Percentage points.
    """
    if challenger_error is None or not isfinite(challenger_error):
        return False
    if champion_error is None or not isfinite(champion_error):
        return True
    gain = round(champion_error - challenger_error, _DECIMALS)
    return gain > 0 and gain >= margin_points


def judge(
    challenger: TrainedModel, champion: Champion | None, margin_points: float, unusable: str | None = None
) -> Verdict:
    """Decide between a challenger and the champion.

    They were measured in different weeks, so the champion's error is first brought to those of the challenger
    (``docs/adr/0015``): it is multiplied by what the moving average has there by what it had in the champion's.

    Args:
        unusable: Why the champion's files cannot be used; then any challenger that was measured is better.
    """
    error = challenger.error
    if error is None or not isfinite(error):
        return Verdict(promoted=False, reason="nothing was sold in the holdout, so it was not measured")
    if champion is None:
        return Verdict(promoted=True, reason="the first of its type that was measured")
    if unusable is not None:
        return Verdict(promoted=True, reason=f"the champion cannot be used: {unusable}")
    by_size = _by_size(int(challenger.parametros.get("products", 0)), champion.products)
    if by_size is not None:
        return by_size
    before, how = _in_the_weeks_of(challenger, champion)
    if before is None or not isfinite(before):
        return Verdict(promoted=True, reason="the champion was never measured")
    gain = round(before - error, _DECIMALS)
    reason = f"WAPE {error:g} against {before:g}{how}: {gain:g} points better, {margin_points:g} are needed"
    return Verdict(beats(error, before, margin_points), reason)


def _by_size(products: int, of_champion: int) -> Verdict | None:
    """Decide where one of the two knows much more of the catalogue, as errors of other products do not compare."""
    if products < COMPARABLE_SHARE * of_champion:
        return Verdict(promoted=False, reason=f"of {products} products, the champion of {of_champion}")
    if 0 < of_champion < COMPARABLE_SHARE * products:
        return Verdict(promoted=True, reason=f"the champion knows {of_champion} products, this one {products}")
    return None


def _in_the_weeks_of(challenger: TrainedModel, champion: Champion) -> tuple[float | None, str]:
    """The champion's WAPE as it would be in the challenger's weeks, and how it comes to be that."""
    if not champion.error or not champion.baseline or not challenger.baseline:
        return champion.error, ""
    here = round(champion.error * challenger.baseline / champion.baseline, _DECIMALS)
    its_own = f"{champion.error:g} in its own weeks, where a moving average had {champion.baseline:g}"
    return here, f" ({its_own}, here {challenger.baseline:g})"
