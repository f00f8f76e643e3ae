"""The SQL that turns ``serie_temporal`` into weeks."""

from __future__ import annotations

_MONDAY = "date_trunc('week', sold.data_referencia::timestamp)::date"


def weekly_rows(owner: str, wanted: str, source: str = "serie_temporal AS sold") -> str:
    """A query for the columns ``owner``, ``week`` (a Monday), ``volume`` and ``receita``.

    Weekly rows come as they are, and daily rows summed up for those weeks in which the product has no
    weekly one; monthly rows are left out. One GROUP BY over both would be shorter and takes twice as long,
    because nearly all rows are weekly and need none. So a product with several weekly rows in one week has
    several rows here.

    Args:
        owner: Column of ``source`` that stands for the product.
        wanted: Condition on ``sold``, constant SQL.
        source: Where rows come from; ``sold`` must be ``serie_temporal``.
    """
    return f"""
        SELECT {owner}, {_MONDAY} AS week, volume, receita
        FROM {source}
        WHERE granularidade = 'semanal' AND {wanted}
        UNION ALL
        SELECT {owner}, {_MONDAY} AS week, sum(volume), sum(receita)
        FROM {source}
        WHERE granularidade = 'diario' AND {wanted} AND NOT EXISTS (
            SELECT FROM serie_temporal AS weekly
            WHERE weekly.produto_id = sold.produto_id AND weekly.granularidade = 'semanal'
              AND weekly.data_referencia BETWEEN {_MONDAY} AND {_MONDAY} + 6
        )
        GROUP BY 1, 2
    """  # noqa: S608 - put together from constants of this package only


# A step into the unique index for each product: the only index on dates begins with the product, and reading every
# row takes three times as long at a million of them, and grows with them.
NEWEST_WEEK = """
    SELECT date_trunc('week', max(newest.day)::timestamp)::date AS week
    FROM produto CROSS JOIN LATERAL (
        SELECT data_referencia AS day FROM serie_temporal AS sold
        WHERE sold.produto_id = produto.id AND granularidade <> 'mensal'
        ORDER BY data_referencia DESC LIMIT 1
    ) AS newest
"""
