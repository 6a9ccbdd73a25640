"""Chat completions that were kept with their requests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "inference_0001"
down_revision = None
branch_labels = ("inference",)


def upgrade() -> None:
    """Make the table."""
    table = "specstack_chat_completions"
    integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        table,
        sa.Column("tenant", _string(255), nullable=False),
        sa.Column("owner", _string(255), nullable=False),
        sa.Column("row_id", integer, primary_key=True, autoincrement=True),
        sa.Column("completion_id", _string(512), nullable=False),
        sa.Column("created", integer, nullable=False),
        sa.Column(
            "model",
            sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("metadata", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("reply", sa.LargeBinary(), nullable=False),
    )
    for columns in (("created", "row_id"), ("completion_id",)):
        op.create_index("_".join(("ix", table, *columns)), table, ["tenant", "owner", *columns])


def _string(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(postgresql.VARCHAR(length, collation="C"), "postgresql")
