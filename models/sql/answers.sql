-- What statements call to build an answer.

-- Raises CS413. A statement calls it where its answer would exceed the limit.
CREATE OR REPLACE FUNCTION answer_too_large() RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL SAFE AS $$
BEGIN
    RAISE EXCEPTION 'answer too large' USING ERRCODE = 'CS413';
END
$$;

-- Returns compact JSON: no spaces, and the keys of an object in the order of their bytes.
CREATE OR REPLACE FUNCTION json_text(value jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    CASE jsonb_typeof(value)
    WHEN 'object' THEN RETURN (
        SELECT '{' || coalesce(
            string_agg(to_json(key)::text || ':' || json_text(each.value), ',' ORDER BY key COLLATE "C"), ''
        ) || '}'
        FROM jsonb_each(value) AS each);
    WHEN 'array' THEN RETURN (
        SELECT '[' || coalesce(string_agg(json_text(element), ',' ORDER BY place), '') || ']'
        FROM jsonb_array_elements(value) WITH ORDINALITY AS each(element, place));
    ELSE RETURN value::text;
    END CASE;
END
$$;

-- Returns changes as a list, by the name of the field: {"name": {"old": 1, "new": 2}} becomes
-- [{"field": "name", "old": 1, "new": 2}].
CREATE OR REPLACE FUNCTION change_list(changes jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT jsonb_agg(jsonb_build_object('field', key) || value ORDER BY key COLLATE "C") FROM jsonb_each(changes)
$$;
