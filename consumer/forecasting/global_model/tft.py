"""TFT: a small Temporal Fusion Transformer (Lim et al. 2021) of all products, where the extra ``tft`` is installed."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.forecasting.global_model.series import Series, latest, stacked
from consumer.forecasting.types import QUANTILES, Variant
from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from consumer.forecasting.global_model.base import ArrowTable, Panel
    from consumer.forecasting.types import FloatArray

FORMAT: Final = "forecast-consumer tft 1"
HORIZON: Final = 13
INPUT_WEEKS: Final = 26
BLOCK: Final = 64  # products that a network sees at once
PARAMETERS: Final[Mapping[str, Any]] = {
    "h": HORIZON,
    "input_size": INPUT_WEEKS,
    "hidden_size": 16,
    "n_head": 2,
    "dropout": 0.1,
    "learning_rate": 5e-3,
    "max_steps": 300,
    "batch_size": 64,
    "windows_batch_size": 256,
    "scaler_type": "standard",
    "start_padding_enabled": True,
}
RECIPE: Final = f"tft {sorted(PARAMETERS.items())}"  # with the rows and the seed: what a TFT follows from
_ABOUT: Final = "forecast-consumer"
_EPSILON: Final = 1e-6  # neuralforecast's
_TALKATIVE: Final = ("lightning_fabric", "pytorch_lightning")
# Lightning would otherwise write logs and checkpoints where the service stands, and look for a GPU.
_TRAINER: Final[Mapping[str, Any]] = {
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}


def installed() -> bool:
    """Whether the extra ``tft`` is there; nothing of it is loaded by asking."""
    return find_spec("neuralforecast") is not None and find_spec("torch") is not None


@dataclass(frozen=True, slots=True)
class Tft:
    """``GlobalModel`` of one neuralforecast network.

    Weeks further ahead than ``HORIZON`` get the quantiles of week ``HORIZON``.
    """

    target: TargetType
    known_until: date
    network: Any

    @property
    def variant(self) -> Variant:
        """TFT."""
        return Variant.TFT

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The network's shape and how it was trained."""
        return dict(PARAMETERS)

    def predict(self, panel: Panel, horizon: int) -> FloatArray:
        """See ``GlobalModel``."""
        weeks = min(horizon, HORIZON)
        quantiles = np.sort(self._quantiles(latest(panel, self.target, INPUT_WEEKS)), axis=-1)[:, :weeks]
        return np.concatenate((quantiles, np.repeat(quantiles[:, -1:], horizon - weeks, axis=1)), axis=1)

    def _quantiles(self, series: Series) -> FloatArray:
        """Forecast ``(n, HORIZON, 5)``, always as many products at once: with another number, sums end differently."""
        values, mean, deviation = _standardised(series)
        products = len(values)
        padded = np.resize(values, (-(-products // BLOCK) * BLOCK, INPUT_WEEKS, 1)).astype(np.float32)
        blocks = [_forward(self.network, padded[start : start + BLOCK]) for start in range(0, len(padded), BLOCK)]
        scaled = np.concatenate([np.empty((0, HORIZON, len(QUANTILES))), *blocks])[:products]
        quantiles: FloatArray = scaled * deviation[:, :, None] + mean[:, :, None]
        return quantiles


def fit_tft(tables: Iterable[ArrowTable], target: TargetType, *, known_until: date, seed: int) -> bytes:
    """Train a network and give its artefact: a safetensors file, what it is as JSON among its metadata.

    Args:
        tables: What ``series.series_table`` gave for this target, of all chunks, in any order.
        known_until: Demand of later weeks is not looked at.

    Raises:
        TooFewSeriesError: There is too little to learn from.
        ValueError: Training ended without numbers.
    """
    series = stacked(tables, known_until, least_weeks=HORIZON + 1)
    network = _network(seed)
    network.fit(dataset=_dataset(series))
    about = {"format": FORMAT, "target": target, "known_until": known_until.isoformat(), "parameters": dict(PARAMETERS)}
    if not all(bool(weights.isfinite().all()) for weights in network.parameters()):
        raise ValueError("training ended without numbers")
    # Copies: losses for training and validation share their quantiles, and a file holds each tensor once.
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    # One entry of metadata only: the library writes several in any order.
    metadata = {_ABOUT: json.dumps(about, sort_keys=True)}
    artefact: bytes = import_module("safetensors.torch").save(tensors, metadata=metadata)
    return artefact


def load_tft(artefact: bytes) -> Tft:
    """Read what ``fit_tft`` wrote. Nothing in it can run code.

    Raises:
        UnusableArtefactError: It is of another version, incomplete, or the extra ``tft`` is not installed.
    """
    if not installed():
        raise UnusableArtefactError("a TFT needs the extra: pip install 'forecast-consumer[tft]'")
    try:
        content = _about(artefact)
        target, known_until = TargetType(content["target"]), date.fromisoformat(content["known_until"])
        described = content["format"], content["parameters"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UnusableArtefactError(f"the description of a TFT: {type(error).__name__}: {error}"[:300]) from error
    if described != (FORMAT, dict(PARAMETERS)):
        raise UnusableArtefactError(f"a TFT of another version or shape: {described[0]!r}"[:300])
    return Tft(target, known_until, _network_of(artefact))


def _about(artefact: bytes) -> Any:
    """The description in a safetensors file: eight bytes say how long its JSON header is."""
    length = int.from_bytes(artefact[:8], "little")
    return json.loads(json.loads(artefact[8 : 8 + length])["__metadata__"][_ABOUT])


def _network(seed: int) -> Any:
    losses: Any = import_module("neuralforecast.losses.pytorch")
    models: Any = import_module("neuralforecast.models")
    for name in _TALKATIVE:  # loading them has set their levels
        logging.getLogger(name).setLevel(logging.ERROR)
    import_module("torch").set_num_threads(1)
    loss = losses.MQLoss(quantiles=list(QUANTILES))
    return models.TFT(loss=loss, random_seed=seed % 2**31, **PARAMETERS, **_TRAINER)


def _network_of(weights: bytes) -> Any:
    try:
        network = _network(0)
        network.load_state_dict(import_module("safetensors.torch").load(weights))
    except Exception as error:  # also a torch that cannot be loaded, as with too little address space
        raise UnusableArtefactError(f"the weights of a TFT: {type(error).__name__}: {error}"[:300]) from error
    return network.eval()


def _standardised(series: Series) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the last weeks as the network saw them in training, ``(n, INPUT_WEEKS, 1)``, and what was taken off them.

    neuralforecast does the same to every window that it trains on: zeros before the first week, and then all divided
    by the deviation of the weeks that there are from their mean.
    """
    lengths = np.diff(series.start)
    known = np.arange(INPUT_WEEKS) >= INPUT_WEEKS - lengths[:, None]
    values = np.zeros(known.shape)
    values[known] = series.values
    mean = values.sum(axis=1, keepdims=True) / lengths[:, None]
    deviation = np.sqrt((np.square(values - mean) * known).sum(axis=1, keepdims=True) / lengths[:, None])
    deviation = np.where(deviation == 0, 1.0, deviation) + _EPSILON
    return ((values - mean) / deviation)[:, :, None], mean, deviation


def _forward(network: Any, values: npt.NDArray[np.float32]) -> FloatArray:
    torch: Any = import_module("torch")
    nothing = dict.fromkeys(("insample_mask", "futr_exog", "hist_exog", "stat_exog"))
    with torch.inference_mode():
        found = network.loss.domain_map(network({**nothing, "insample_y": torch.from_numpy(values)}))
    quantiles: FloatArray = found.numpy().astype(np.float64).reshape(len(values), HORIZON, len(QUANTILES))
    return quantiles


def _dataset(series: Series) -> Any:
    torch, pandas = import_module("torch"), import_module("pandas")
    tsdataset: Any = import_module("neuralforecast.tsdataset")
    values = np.column_stack((series.values, np.ones(series.values.size))).astype(np.float32)
    return tsdataset.TimeSeriesDataset(
        temporal=torch.from_numpy(values),
        temporal_cols=pandas.Index(["y", "available_mask"]),
        indptr=series.start,
        y_idx=0,
    )
