"""Rows of the backend, each in one call with what a test does not care about filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, text

from consumer.db.models import (
    ExecucaoPlanejamento,
    ForecastModelo,
    Produto,
    SerieTemporal,
    SkuClassification,
    Usuario,
)
from schemas.enums import GatilhoExecucao, Granularidade, TipoExecucao

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from consumer.db.database import Database

NOW = text("now()")


@dataclass(frozen=True, slots=True)
class Seed:
    database: Database

    async def products(self, *ids: str, preco_venda: float | None = None) -> None:
        rows = [
            {"id": id_, "codigo": id_, "descricao": id_, "tipo_produto": "ACABADO", "preco_venda": preco_venda}
            for id_ in ids
        ]
        await self._insert(insert(Produto).values(updated_at=NOW), rows)

    async def sales(
        self,
        produto_id: str,
        rows: Iterable[tuple[date, float, float]],
        granularidade: Granularidade = Granularidade.SEMANAL,
    ) -> None:
        values = [
            {
                "id": f"{produto_id} {day} {granularidade}",
                "produto_id": produto_id,
                "data_referencia": day,
                "granularidade": granularidade,
                "volume": volume,
                "receita": receita,
            }
            for day, volume, receita in rows
        ]
        if values:
            await self._insert(insert(SerieTemporal), values)

    async def classification(
        self, produto_id: str, abc: str, xyz: str, padrao: str, sugerido: str | None = None
    ) -> None:
        row = {
            "id": f"class {produto_id}",
            "produto_id": produto_id,
            "classe_abc": abc,
            "classe_xyz": xyz,
            "padrao_demanda": padrao,
            "modelo_forecast_sugerido": sugerido,
        }
        await self._insert(insert(SkuClassification).values(updated_at=NOW), [row])

    async def users(self, *ids: str) -> None:
        rows = [{"id": id_, "email": id_, "nome": id_, "senha_hash": "-"} for id_ in ids]
        await self._insert(insert(Usuario).values(updated_at=NOW), rows)

    async def execution(self, execucao_id: str, **values: Any) -> None:
        row = {"id": execucao_id, "tipo": TipoExecucao.FORECAST, "gatilho": GatilhoExecucao.MANUAL, **values}
        await self._insert(insert(ExecucaoPlanejamento), [row])

    async def model(self, model_id: str, execucao_id: str, tipo: str, versao: int, *, champion: bool = False) -> None:
        row = {
            "id": model_id,
            "execucao_id": execucao_id,
            "tipo_modelo": tipo,
            "versao": versao,
            "is_champion": champion,
        }
        await self._insert(insert(ForecastModelo), [row])

    async def scalar(self, sql: str, **parameters: Any) -> Any:
        async with self.database.session() as session:
            return await session.scalar(text(sql), parameters)

    async def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        async with self.database.session() as session:
            return [tuple(row) for row in await session.execute(text(sql), parameters)]

    async def _insert(self, statement: Any, rows: list[dict[str, Any]]) -> None:
        async with self.database.transaction() as session:
            await session.execute(statement, rows)
