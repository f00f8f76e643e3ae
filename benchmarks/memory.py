"""``memory``: the highest memory of the whole service for a train and a predict, for ten times as many products.

What counts is PSS, where pages that several processes share are counted once, summed over the service and all its
model processes. The database does not count.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg
import psutil

from benchmarks.commands import blast, everything
from benchmarks.measure import OURSELVES, Result, compare
from benchmarks.observer import observe, until
from tests.support.databases import temporary_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from benchmarks.observer import Observer
    from benchmarks.stage import Stage

PRODUCTS: Final = 50_000
SMALLER: Final = 10
WEEKS: Final = 104
WITHIN: Final = 7200.0
EVERY_SECONDS: Final = 0.25
_MEGABYTE: Final = 1024**2
_TABLES: Final = (
    """INSERT INTO produto (id, codigo, descricao, tipo_produto, preco_venda, updated_at)
       SELECT 'P' || lpad(n::text, 6, '0'), 'P' || n, 'product', 'ACABADO', 5 + n % 7, now()
         FROM generate_series(1, {products}) AS n""",
    """INSERT INTO sku_classification (id, produto_id, classe_abc, classe_xyz, padrao_demanda, updated_at)
       SELECT 'c' || id, id, (ARRAY['A', 'B', 'C'])[1 + right(id, 1)::int % 3]::"ClasseABC", 'Y',
              (ARRAY['REGULAR', 'ERRATICO', 'INTERMITENTE', 'LUMPY'])[1 + right(id, 1)::int % 4]::"PadraoDemanda", now()
         FROM produto""",
    # Every product has a level of its own, weeks that go up and down, and every other one weeks without a sale.
    """INSERT INTO serie_temporal (id, produto_id, data_referencia, granularidade, volume, receita)
       SELECT n || '-' || w, 'P' || lpad(n::text, 6, '0'), date '2024-01-01' + 7 * w, 'semanal', v.volume,
              v.volume * (5 + n % 7)
         FROM generate_series(1, {products}) AS n CROSS JOIN generate_series(0, {weeks} - 1) AS w
        CROSS JOIN LATERAL (
              SELECT CASE WHEN n % 2 = 0 AND hashint4(n * 1009 + w) % 5 < 3 THEN 0
                          ELSE 10 + n % 40 + abs(hashint4(w * 31 + n)) % 15 END AS volume) AS v""",
    "ANALYZE",
)


@dataclass(slots=True)
class Peak:
    """The highest sum so far, in MB."""

    megabytes: float = 0.0
    looks: int = field(default=0)

    def look(self, pid: int) -> None:
        """Add up a process and all below it; one that ends meanwhile counts as nothing."""
        total = 0
        with suppress(psutil.NoSuchProcess):
            top = psutil.Process(pid)
            for process in (top, *top.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += process.memory_full_info().pss
        self.looks += 1
        self.megabytes = max(self.megabytes, total / _MEGABYTE)


async def measure(stage: Stage) -> list[Result]:
    """Many products against a tenth of them, MB."""
    many = stage.size(PRODUCTS, 2_000)
    rounds = {str(count): partial(_peaks, stage, count) for count in (many // SMALLER, many)}
    measured = await stage.in_turns(rounds)
    ours, theirs = measured[str(many)], measured[str(many // SMALLER)]
    unit = f"MB, peak of train and predict, {many:,} products against {many // SMALLER:,}"
    return [compare("memory", OURSELVES, unit, ours["peak"], theirs["peak"])]


async def _peaks(stage: Stage, products: int) -> Mapping[str, float]:
    async with temporary_database(stage.server_url, stage.template) as url:
        await seed(url, products)
        template = url.rsplit("/", 1)[1]
        settings = {"FORECAST_ARTEFACT_DIR": str(stage.directory / f"artefacts-{products}")}
        async with (
            stage.place(template=template) as place,
            observe(place) as observer,
            stage.process(place, settings=settings) as process,
        ):
            await process.meanwhile(observer.assigned())
            numbers: dict[str, float] = {}
            for count, (kind, topic) in enumerate(
                (("train", place.topics.train), ("predict", place.topics.predict)), start=1
            ):
                began = time.perf_counter()
                async with sampled(process.pid) as peak:
                    await blast(stage.bootstrap_servers, topic, 1, partial(everything, kind))
                    await process.meanwhile(_ended(observer, count))
                numbers |= {kind: peak.megabytes, f"{kind}_s": time.perf_counter() - began}
            await observer.concluded(2)
    return {"peak": max(numbers["train"], numbers["predict"]), **numbers}


async def _ended(observer: Observer, count: int) -> None:
    ended = "SELECT count(*) FROM execucao_planejamento WHERE status IN ('CONCLUIDO', 'PARCIAL', 'ERRO')"

    async def reached() -> bool:
        await asyncio.sleep(1)
        return bool(await observer.database.fetchval(ended) >= count)

    await until(reached, f"end of {count} executions", WITHIN)


async def seed(url: str, products: int) -> None:
    """Products, classes and weekly sales, made by the database itself."""
    connection = await asyncpg.connect(url, timeout=15)
    try:
        for statement in _TABLES:
            await connection.execute(statement.format(products=products, weeks=WEEKS), timeout=1800)
    finally:
        await connection.close(timeout=5)


@asynccontextmanager
async def sampled(pid: int) -> AsyncIterator[Peak]:
    """Look at a process tree again and again."""
    peak = Peak()

    async def look() -> None:
        while True:
            await asyncio.to_thread(peak.look, pid)
            await asyncio.sleep(EVERY_SECONDS)

    task = asyncio.create_task(look())
    try:
        yield peak
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
