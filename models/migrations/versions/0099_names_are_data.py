"""What is taken out of JSON when a person is erased: strings of it, and never its text."""

from alembic import op

revision = "0099"
down_revision = "0098"
branch_labels = None
depends_on = None

# In each string; keys stay.
WORDS = """
    CREATE FUNCTION without_words(value jsonb, pattern text, stand_in text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    BEGIN
        RETURN CASE jsonb_typeof(value)
            WHEN 'string' THEN to_jsonb(regexp_replace(value #>> '{}', pattern, stand_in, 'gi'))
            WHEN 'array' THEN (
                SELECT coalesce(jsonb_agg(without_words(part.value, pattern, stand_in) ORDER BY part.place), '[]')
                FROM jsonb_array_elements(value) WITH ORDINALITY AS part (value, place)
            )
            WHEN 'object' THEN (
                SELECT coalesce(jsonb_object_agg(part.key, without_words(part.value, pattern, stand_in)), '{}')
                FROM jsonb_each(value) AS part
            )
            ELSE value
        END;
    END
    $$
"""
# Whole values of fields: `personal` says which value of which field is the person's. What was before and after a change
# is of the field that changed.
FIELDS = """
    CREATE FUNCTION without_fields(value jsonb, personal jsonb, stand_in text, field text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    BEGIN
        RETURN CASE jsonb_typeof(value)
            WHEN 'string' THEN
                CASE WHEN lower(value #>> '{}') = lower(personal ->> field) THEN to_jsonb(stand_in) ELSE value END
            WHEN 'array' THEN (
                SELECT coalesce(jsonb_agg(without_fields(part.value, personal, stand_in) ORDER BY part.place), '[]')
                FROM jsonb_array_elements(value) WITH ORDINALITY AS part (value, place)
            )
            WHEN 'object' THEN (
                SELECT coalesce(jsonb_object_agg(part.key, without_fields(part.value, personal, stand_in,
                    CASE WHEN personal ? part.key THEN part.key
                        WHEN part.key IN ('before', 'after') THEN field END)), '{}')
                FROM jsonb_each(value) AS part
            )
            ELSE value
        END;
    END
    $$
"""


def upgrade() -> None:
    op.execute(WORDS)
    op.execute(FIELDS)


def downgrade() -> None:
    raise NotImplementedError
