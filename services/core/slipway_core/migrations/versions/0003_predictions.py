"""The prediction log: predictions, the model versions that made them, and feedback.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "predictions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("manifest_sha256", sa.String(80), nullable=False),
        sa.Column("inputs", json, nullable=False),
        sa.Column("prediction", json, nullable=False),
        sa.Column("scores", json, nullable=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("latency_seconds", sa.Double(), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_predictions"),
    )
    op.create_index("ix_predictions_at", "predictions", ["at", "id"])
    op.create_index("ix_predictions_user_id", "predictions", ["user_id", "at", "id"])
    op.create_index("ix_predictions_model", "predictions", ["model", "at", "id"])
    op.create_table(
        "served_versions",
        sa.Column("manifest_sha256", sa.String(80), nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("run_id", sa.String(256), nullable=False),
        sa.Column("data_version", sa.String(256), nullable=False),
        sa.Column("git_commit", sa.String(256), nullable=True),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("features", json, nullable=False),
        sa.Column("classes", json, nullable=True),
        sa.PrimaryKeyConstraint("manifest_sha256", "model", "version", name="pk_served_versions"),
    )
    op.create_table(
        "feedback",
        sa.Column("prediction_id", sa.Uuid(), nullable=False),
        sa.Column("row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("correct", sa.Boolean(), nullable=True),
        sa.Column("error", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("prediction_id", "row", name="pk_feedback"),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["predictions.id"], name="fk_feedback_prediction_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_feedback_model", "feedback", ["model", "version", "at"])
    op.create_index("ix_feedback_by", "feedback", ["by"])


def downgrade() -> None:
    op.drop_table("feedback")
    op.drop_table("served_versions")
    op.drop_table("predictions")
