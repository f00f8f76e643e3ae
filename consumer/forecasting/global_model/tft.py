"""TFT: a small Temporal Fusion Transformer (Lim et al. 2021) of all products, where the extra ``tft`` is installed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.forecasting.global_model.series import Series, latest, stacked
from consumer.forecasting.quantiles import tidy
from consumer.forecasting.types import QUANTILES, Variant
from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from consumer.forecasting.global_model.base import ArrowTable, Panel
    from consumer.forecasting.types import FloatArray

FORMAT: Final = "forecast-consumer tft 1"
HORIZON: Final = 13
INPUT_WEEKS: Final = 26
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
        products, weeks = len(panel.product_ids), min(horizon, HORIZON)
        found = self.network.predict(dataset=_dataset(latest(panel, self.target, INPUT_WEEKS)))
        quantiles = np.asarray(found, dtype=np.float64).reshape(products, HORIZON, len(QUANTILES))[:, :weeks]
        further = np.repeat(quantiles[:, -1:], horizon - weeks, axis=1)
        return tidy(np.sort(np.concatenate((quantiles, further), axis=1), axis=-1))


def fit_tft(tables: Iterable[ArrowTable], target: TargetType, *, known_until: date, seed: int) -> bytes:
    """Train a network and give its artefact: a line of JSON, then the weights as safetensors.

    Args:
        tables: What ``series.series_table`` gave for this target, of all chunks, in any order.
        known_until: Demand of later weeks is not looked at.

    Raises:
        TooFewSeriesError: There is too little to learn from.
    """
    series = stacked(tables, known_until, least_weeks=HORIZON + 1)
    network = _network(seed)
    network.fit(dataset=_dataset(series))
    head = {"format": FORMAT, "target": target, "known_until": known_until.isoformat(), "parameters": dict(PARAMETERS)}
    # Copies: losses for training and validation share their quantiles, and a file holds each tensor once.
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    weights: bytes = import_module("safetensors.torch").save(tensors)
    return json.dumps(head, sort_keys=True).encode() + b"\n" + weights


def load_tft(artefact: bytes) -> Tft:
    """Read what ``fit_tft`` wrote. Nothing in it can run code.

    Raises:
        UnusableArtefactError: It is of another version, incomplete, or the extra ``tft`` is not installed.
    """
    if not installed():
        raise UnusableArtefactError("a TFT needs the extra: pip install 'forecast-consumer[tft]'")
    head, _, weights = artefact.partition(b"\n")
    try:
        content = json.loads(head)
        target, known_until = TargetType(content["target"]), date.fromisoformat(content["known_until"])
        described = content["format"], content["parameters"]
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableArtefactError(f"the description of a TFT: {type(error).__name__}: {error}") from error
    if described != (FORMAT, dict(PARAMETERS)):
        raise UnusableArtefactError(f"a TFT of another version or shape: {described[0]!r}"[:300])
    return Tft(target, known_until, _with_weights(_network(0), weights))


def _network(seed: int) -> Any:
    losses: Any = import_module("neuralforecast.losses.pytorch")
    models: Any = import_module("neuralforecast.models")
    import_module("torch").set_num_threads(1)
    loss = losses.MQLoss(quantiles=list(QUANTILES))
    return models.TFT(loss=loss, random_seed=seed % 2**31, **PARAMETERS, **_TRAINER)


def _with_weights(network: Any, weights: bytes) -> Any:
    try:
        network.load_state_dict(import_module("safetensors.torch").load(weights))
    except Exception as error:
        raise UnusableArtefactError(f"the weights of a TFT: {type(error).__name__}: {error}"[:300]) from error
    return network


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
