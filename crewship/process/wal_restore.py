"""The embedded database as it was at a moment: a base backup of an archive, and the log after it."""

import asyncio
import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from crewship.process import moves, postgres_snapshots
from crewship.process.database import UNUSED_SNAPSHOT, StartError
from crewship.process.keys import secrets_path, wrapping_keys
from crewship.process.postgres import EmbeddedPostgres
from crewship.process.postgres_child import PostgresError, User
from crewship.process.postgres_programs import called
from crewship.process.postgres_recovery import recover, timelines
from crewship.process.private_files import make_private
from crewship.process.wal_archive import SEGMENT, Base, Line, lines
from resolvers.instance.bundles.files import has_room
from resolvers.instance.settings import Settings

NO_BASE: Final = "there is no base backup in {} that was complete at {}; the oldest one can be recovered from {} on"
NO_ARCHIVE: Final = "there is no base backup in {}"
MISSING: Final = "the log of the archive has a gap: {} is missing in {}"
CUT: Final = "{} is cut: it has {} bytes of {}"
DAMAGED: Final = "{} is damaged ({})"
TOO_LATE: Final = (
    "the archive has no transaction after {}, so it cannot show the database of that time: choose an earlier one, or"
    " restore everything, without --until"
)
NO_ROOM: Final = "there is too little space in {}: {} MB are needed"
BEFORE_TARGET: Final = "recovery ended before configured recovery target was reached"
NO_MORE: Final = "could not find file"
LSN: Final = re.compile(r"\b([0-9A-F]+)/([0-9A-F]+)\b")


@dataclass(frozen=True)
class Chosen:
    """The input of a restore: base backups, the full one first, and the segments since the last backup began."""

    line: Line
    chain: list[Base]
    segments: list[Path]

    @property
    def size(self) -> int:
        return self.chain[0].size + sum(base.size for base in self.chain[1:]) + len(self.segments) * SEGMENT


def choose(folder: Path, until: datetime | None) -> Chosen:
    """The last base backup before `until`, and the log after it. Raises StartError for a log with gaps or cut files."""
    found = [(base, line) for line in lines(folder) for base in line.bases()]
    if not found:
        raise StartError(NO_ARCHIVE.format(folder))
    fitting = [(base, line) for base, line in found if until is None or base.at <= until]
    if not fitting:
        raise StartError(NO_BASE.format(folder, until, min(base.at for base, _ in found)))
    base, line = max(fitting, key=lambda each: each[0].at)
    return Chosen(line, line.chain(base), _segments(line, base))


def _segments(line: Line, base: Base) -> list[Path]:
    """Ends with the last one that was received. Raises StartError."""
    own = {path.name[:24]: path for path in sorted(line.wal.glob(f"{line.timeline:08X}[0-9A-F]*"), reverse=True)}
    first = f"{line.timeline:08X}{_segment(*_halves(base.start)):016X}"
    names = sorted(name for name in own if name >= first)
    expected = int(first[8:], 16)
    for name in [*names, ""][: max(1, len(names))]:
        if name[8:] != f"{expected:016X}":
            raise StartError(MISSING.format(f"{line.timeline:08X}{expected:016X}", line.wal))
        if (size := own[name].stat().st_size) != SEGMENT:
            raise StartError(CUT.format(own[name], size, SEGMENT))
        expected = _after(expected)
    return [own[name] for name in names]


def _halves(lsn: str) -> tuple[int, int]:
    high, low = lsn.split("/")
    return int(high, 16), int(low, 16)


def _segment(high: int, low: int) -> int:
    """The number in a segment's name, of which each half has eight digits."""
    return (high << 32) + low // SEGMENT


def _after(number: int) -> int:
    high, low = number >> 32, number & 0xFFFFFFFF
    return (high + 1) << 32 if low == 0xFF else number + 1


def restore(data_dir: Path, chosen: Chosen, until: datetime | None, archive: Path) -> None:
    """Puts the database of a moment in the place of the present one, which is kept as a snapshot.

    Until it is recovered, nothing changes. Raises StartError, PostgresError.
    """
    server = EmbeddedPostgres(data_dir)
    with server.held():
        make_private(server.kept)
        place = server.kept / "restoring"
        shutil.rmtree(place, ignore_errors=True)
        if not has_room(str(server.kept), chosen.size):
            raise StartError(NO_ROOM.format(server.kept, chosen.size >> 20))
        make_private(place)
        try:
            _recover(server, place, chosen, until, archive)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        passwords = (place / "postgres.json", server.data_dir / "postgres.json")
        made = postgres_snapshots.replacing(server, server.present, EmbeddedPostgres(place).cluster)
        moves.move(server.kept, [passwords, *made])
        (server.data_dir / UNUSED_SNAPSHOT).unlink(missing_ok=True)  # what was copied before is another database
        shutil.rmtree(place)
        postgres_snapshots.drop_replaced(server.data_dir)


def _recover(server: EmbeddedPostgres, place: Path, chosen: Chosen, until: datetime | None, archive: Path) -> None:
    asyncio.run(_build(EmbeddedPostgres(place).cluster, chosen))
    owner = User.choose(server.present)
    used = timelines([server.present / "pg_wal"]) | {line.timeline for line in lines(archive)}
    target = {} if until is None else {"recovery_target_time": until.astimezone(UTC).isoformat(sep=" ")}
    try:
        recover(place, owner, used, credentials=server.data_dir / "postgres.json", target=target)
    except PostgresError as error:
        if BEFORE_TARGET in str(error):
            raise StartError(TOO_LATE.format(until)) from None
        raise


async def _build(cluster: Path, chosen: Chosen) -> None:
    """A cluster with the log that it is to be recovered with. Raises StartError for a file that was changed."""
    for base in chosen.chain:
        try:
            await called("pg_verifybackup", "--exit-on-error", "--quiet", "--no-parse-wal", base.path)
        except PostgresError as error:
            raise StartError(DAMAGED.format(f"the base backup {base.path}", _line(error))) from None
    await called("pg_combinebackup", *(base.path for base in chosen.chain), "--output", cluster)
    wal = cluster / "pg_wal"
    for segment in chosen.segments:
        shutil.copyfile(segment, wal / segment.name[:24])
    await _check_log(wal, chosen)


async def _check_log(wal: Path, chosen: Chosen) -> None:
    """Every record has a checksum. Only in the last segment may they end: it is being written."""
    base = chosen.chain[-1]
    options = ("--quiet", f"--path={wal}", f"--timeline={chosen.line.timeline}", f"--start={base.start}")
    try:
        await called("pg_waldump", *options)
    except PostgresError as error:
        said, last = _line(error), chosen.segments[-1]
        if NO_MORE in said:  # the last segment is complete
            return
        reached = max((_segment(int(high, 16), int(low, 16)) for high, low in LSN.findall(said)), default=0)
        if reached != int(last.name[8:24], 16) or not last.name.endswith(".partial"):
            name = f"{chosen.line.timeline:08X}{reached:016X}"
            raise StartError(DAMAGED.format(chosen.line.wal / name, said)) from None


def _line(error: PostgresError) -> str:
    return " ".join(str(error).split())


def without(settings: Settings) -> list[str]:
    """The parts of an instance that are not in an archive and missing here."""
    missing = []
    if not secrets_path(settings.data_dir).exists() and not wrapping_keys(settings):
        missing.append(f"Its keys are missing: copy secrets.env of the former data directory to {settings.data_dir}.")
    if not settings.storage_path.exists():
        missing.append(f"Its files are missing: copy them to {settings.storage_path}.")
    return missing


def parsed(text: str) -> datetime:
    """A moment in ISO 8601; without a time zone it is UTC. Raises StartError."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise StartError(f"{text} is not a time: write it like 2026-12-01T14:03:00Z") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def free(folder: Path, keep: int) -> list[Path]:
    """Deletes base backups before the newest `keep` full ones, and the log that only they need."""
    gone = list[Path]()
    full = [(base, line) for line in lines(folder) for base in line.bases() if base.parent is None]
    if len(full) <= keep:
        return gone
    oldest, of = sorted(full, key=lambda each: each[0].at)[-keep]
    for line in lines(folder):
        for base in line.bases():
            if base.at < oldest.at:
                os.unlink(base.path.with_name(f"{base.path.name}.json"))
                shutil.rmtree(base.path)
                gone.append(base.path)
        if line.path == of.path:
            asyncio.run(called("pg_archivecleanup", line.wal, _name(line, oldest)))
        elif not line.bases():
            shutil.rmtree(line.path)
    return gone


def _name(line: Line, base: Base) -> str:
    return f"{line.timeline:08X}{_segment(*_halves(base.start)):016X}"
