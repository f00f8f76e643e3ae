"""Every setting of the service: an environment variable ``FORECAST_…`` or a line of ``.env``, checked at start."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from consumer.setting_rules import MAY_BE_EMPTY, PREFIX, contradictions, named, pattern, servers

Role = Literal["intake", "worker", "relay"]
ALL_ROLES: tuple[Role, ...] = ("intake", "worker", "relay")
Name = Annotated[str, AfterValidator(named)]


class Settings(BaseSettings):
    """Defaults fit a small production; seconds where the name does not say otherwise."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    # --- where things are
    database_url: SecretStr = Field(
        SecretStr("postgresql://postgres@127.0.0.1:5432/postgres"),
        description="PostgreSQL, as the backend's DATABASE_URL",
    )
    bootstrap_servers: Annotated[str, AfterValidator(servers)] = Field(
        "127.0.0.1:9092", description="Kafka, host:port[,host:port]"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to talk to the brokers"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="with a SASL_ protocol"
    )
    kafka_username: str | None = Field(None, description="with a SASL_ protocol")
    kafka_password: SecretStr | None = Field(None, description="with a SASL_ protocol")
    kafka_ssl_cafile: Path | None = Field(None, description="certificates to trust; none: the system's")
    admin_host: str = Field("127.0.0.1", description="address of /livez, /readyz and /metrics")
    admin_port: int = Field(8081, ge=0, le=65535, description="0: any free port")

    # --- topics and the group
    group_id: Name = Field("forecast-consumer", description="consumer group of the intake role")
    topic_train: Name = Field("forecast.train", description="commands in")
    topic_predict: Name = Field("forecast.predict", description="commands in")
    topic_backtest: Name = Field("forecast.backtest", description="commands in")
    topic_cancel: Name = Field("forecast.cancel", description="commands in")
    topic_status: Name = Field("forecast.status", description="status events and rejections out")
    topic_step_log: Name = Field("forecast.step-log", description="step events out")
    topic_dlq: Name = Field("forecast.dlq", description="bad records out, as they came")
    reply_topic_pattern: Annotated[str, AfterValidator(pattern)] = Field(
        r".*\.reply$", description="NestJS reply topics that are honoured"
    )

    # --- roles of this process
    roles: Annotated[tuple[Role, ...], NoDecode] = Field(
        ALL_ROLES, description="what this process does, separated by commas"
    )
    instance: Name = Field(
        default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}", description="name in leases and logs"
    )

    # --- intake
    intake_batch: PositiveInt = Field(1000, description="records of one poll, one transaction")
    intake_poll_seconds: PositiveFloat = Field(1.0, description="longest wait of one poll")
    max_poll_interval_seconds: PositiveFloat = Field(
        600.0, description="without a poll for so long, the group moves on"
    )
    session_timeout_seconds: PositiveFloat = Field(30.0, description="without a heartbeat for so long, likewise")

    max_queued: PositiveInt = Field(100_000, description="above it intake pauses and the backlog waits in Kafka")

    # --- worker
    worker_executions: PositiveInt = Field(2, description="executions that run at once in this process")
    compute_processes: PositiveInt = Field(default_factory=lambda: os.cpu_count() or 1, description="model processes")
    chunk_products: PositiveInt = Field(400, description="products computed and committed together")
    compute_memory_megabytes: PositiveInt | None = Field(None, description="address space of a model process")
    chunk_timeout_seconds: PositiveFloat = Field(900.0, description="a chunk that computes longer is killed")
    lease_seconds: PositiveFloat = Field(30.0, description="a dead worker's executions go on elsewhere after it")
    poll_seconds: PositiveFloat = Field(0.5, description="how often an idle worker or relay looks")
    max_attempts: PositiveInt = Field(5, description="of one execution, then ERRO")
    backoff_seconds: PositiveFloat = Field(2.0, description="first pause before another attempt; doubles, with jitter")
    backoff_max_seconds: PositiveFloat = Field(300.0, description="longest pause before another attempt")
    seed: int = Field(20_240_101, ge=0, le=2**31 - 1, description="of every random number in a forecast")
    champion_margin: float = Field(1.0, ge=0, description="points of WAPE by which a challenger must be better")
    automatic_choice: bool = Field(default=True, description="a backtest may put another model before the table's")
    global_products: PositiveInt = Field(10, description="products with sales below which no global model is trained")
    tft: bool = Field(default=True, description="train and use a TFT where the extra tft is installed")
    fit_timeout_seconds: PositiveFloat = Field(
        1800.0, description="the fit of a global model that takes longer is killed"
    )
    artefact_dir: Path = Field(Path("artefacts"), description="trained models and checkpoints; all workers share it")
    keep_model_versions: PositiveInt = Field(5, description="of each type, besides the champion, whose files are kept")

    # --- relay
    relay_batch: PositiveInt = Field(1000, description="messages published at once")
    relay_poll_seconds: PositiveFloat = Field(0.05, description="how often the relay looks for other processes' events")
    relay_lease_seconds: PositiveFloat = Field(4.0, description="a dead relay is replaced after it")
    publish_timeout_seconds: PositiveFloat = Field(10.0, description="for the broker's acknowledgement")

    # --- retention
    keep_days: PositiveFloat = Field(30.0, description="of finished commands; longer than the topics keep theirs")
    maintenance_seconds: PositiveFloat = Field(60.0, description="how often old rows are looked for")

    # --- the process
    stuck_seconds: PositiveFloat = Field(120.0, description="a loop that has not turned for so long ends the process")
    startup_wait_seconds: float = Field(60.0, ge=0, description="patience with a database or broker that is not up yet")
    grace_seconds: PositiveFloat = Field(20.0, description="from SIGTERM until everything is closed by force")
    loop_lag_warning_seconds: PositiveFloat = Field(0.1, description="an event loop later than this is logged")
    log_format: Literal["json", "console"] = Field("json", description="for machines or for people")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least that is logged")

    @field_validator("roles", mode="before")
    @classmethod
    def _split_roles(cls, value: object) -> object:
        """``intake,worker`` as people write it in an environment variable."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, values: dict[str, Any]) -> dict[str, Any]:
        """A variable that is declared and left empty, as containers have them, is as if not set."""
        return {name: value for name, value in values.items() if value != "" or name not in MAY_BE_EMPTY}

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if lines := contradictions(self):
            raise ValueError("\n".join(lines))
        return self

    @property
    def command_topics(self) -> dict[str, str]:
        """Topic by kind of command."""
        return {
            "train": self.topic_train,
            "predict": self.topic_predict,
            "backtest": self.topic_backtest,
            "cancel": self.topic_cancel,
        }
