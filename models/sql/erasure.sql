-- What is removed from JSON when a person is erased: strings in it, never parts of its text.

-- Returns `value` with each match of `pattern` in a string replaced by `stand_in`. Keys stay.
CREATE OR REPLACE FUNCTION without_words(value jsonb, pattern text, stand_in text) RETURNS jsonb
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
$$;

-- Returns `value` with whole values of fields replaced by `stand_in`: `personal` names each field and the value in it
-- that is of the person. The values before and after a change belong to the field that changed.
CREATE OR REPLACE FUNCTION without_fields(value jsonb, personal jsonb, stand_in text, field text DEFAULT NULL)
RETURNS jsonb
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
$$;
