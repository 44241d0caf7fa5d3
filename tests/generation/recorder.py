"""Records the changes of a call, row by row, and undoes them.

Triggers on every table note each committed change, so that a case costs one small query instead of a digest of all
tables, and `undo` restores the rows: cases share one world and leave no trace.
"""

from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from tests.world import UNWATCHED, VOLATILE

INSTALL = """
CREATE SCHEMA recorder;
CREATE UNLOGGED TABLE recorder.changes
    (n bigint GENERATED ALWAYS AS IDENTITY, "table" text NOT NULL, old jsonb, new jsonb);
CREATE FUNCTION recorder.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO recorder.changes ("table", old, new)
        SELECT relname, to_jsonb(OLD), to_jsonb(NEW) FROM pg_class
        WHERE oid = coalesce(pg_partition_root(TG_RELID), TG_RELID);
    RETURN NULL;
END $$;
CREATE FUNCTION recorder.undo() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS $$
DECLARE change record; columns text;
BEGIN
    FOR change IN SELECT * FROM recorder.changes ORDER BY n DESC LOOP
        IF change.new IS NOT NULL THEN
            EXECUTE format('DELETE FROM public.%I t WHERE to_jsonb(t) = $1', change."table") USING change.new;
        END IF;
        IF change.old IS NOT NULL THEN
            SELECT string_agg(quote_ident(column_name), ', ') INTO columns FROM information_schema.columns
            WHERE table_schema = 'public' AND table_name = change."table" AND is_generated = 'NEVER';
            EXECUTE format(
                'INSERT INTO public.%1$I (%2$s) OVERRIDING SYSTEM VALUE '
                'SELECT %2$s FROM jsonb_populate_record(NULL::public.%1$I, $1)',
                change."table", columns
            ) USING change.old;
        END IF;
    END LOOP;
    DELETE FROM recorder.changes;
END $$;
DO $$
DECLARE name text;
BEGIN
    -- a trigger of a partitioned table is one of its partitions, too
    FOR name IN SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    LOOP
        EXECUTE format(
            'CREATE TRIGGER recorder AFTER INSERT OR UPDATE OR DELETE ON public.%I '
            'FOR EACH ROW EXECUTE FUNCTION recorder.note()', name);
    END LOOP;
END $$;
"""


@dataclass(frozen=True)
class Change:
    """One row: `old` is None when it is new, `new` is None when it is gone."""

    table: str
    old: dict[str, Any] | None
    new: dict[str, Any] | None

    @property
    def watched(self) -> bool:
        """False for changes that no caller intends: the last use of a credential, and logs of uses."""
        if self.table in UNWATCHED:
            return False
        if self.old is None or self.new is None:
            return True
        differing = {name for name in self.new if self.new[name] != self.old.get(name)}
        return not differing or bool(differing - VOLATILE.get(self.table, set()))


class Recorder:
    """`superuser`: a connection that may switch triggers and foreign keys off, which `undo` needs."""

    def __init__(self, superuser: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.superuser = superuser
        self.dirty = False  # as of the last look

    async def install(self) -> None:
        await self.superuser.execute(INSTALL)

    async def changes(self) -> list[Change]:
        """Everything committed since the last `undo`, in order."""
        rows = await self.superuser.fetch('SELECT "table", old, new FROM recorder.changes ORDER BY n')
        self.dirty = bool(rows)
        made = [Change(row[0], row[1] and orjson.loads(row[1]), row[2] and orjson.loads(row[2])) for row in rows]
        return [change for change in made if change.watched]

    async def undo(self) -> None:
        await self.superuser.execute("SELECT recorder.undo()")
        self.dirty = False

    async def without_rules(self, *statements: str) -> None:
        """Statements that no trigger and no foreign key sees: for rows that cannot exist."""
        async with self.superuser.transaction():
            await self.superuser.execute("SET LOCAL session_replication_role = replica")
            for statement in statements:
                await self.superuser.execute(statement)
