"""Commands in containers: their start, and their end, although the engine's API can end none.

An engine that loses a command's client lets the command run. So each command has a lifeline: the input of the executed
program, which the engine closes when its client is gone. A process in the container waits for that and ends the
command.
"""

from collections.abc import Sequence
from typing import Final

# Nothing but what is built into a shell: images need no more. `$p` ends by itself: what it left behind may go on.
_WATCHED: Final = r"""
p=$$
(
  while read -r _; do :; done
  if kill -0 $p; then kill -9 -$p || kill -9 $p; fi
) <&3 >/dev/null 2>&1 &
exec 3<&-
echo $p
exec "$@"
"""
# Not every engine gives what it executes a group of its own, by which it can be ended.
_LAUNCHER: Final = r"""
exec 3<&0 <"$1" || exit 126
shift
read -r group </proc/$$/stat
group=${group##*) }; group=${group#* }; group=${group#* }; group=${group%% *}
if [ "$group" != $$ ] && command -v setsid >/dev/null
then exec setsid /bin/sh -c "$0" sh "$@"
fi
eval "$0"
"""
_ENDS: Final = 'kill -9 "-$1" 2>/dev/null || kill -9 "$1"'
_SHELL: Final = r"""
echo $$
command -v bash >/dev/null && exec bash
exec sh
"""
# All of a session, twice: what was just begun is seen by the second look.
_HOLDS: Final = r"""
while read -r _; do :; done
for look in 1 2; do
  for each in /proc/[0-9]*; do
    read -r told <$each/stat || continue
    set -- ${told##*) }
    [ "$4" = "$session" ] && kill -9 ${each##*/}
  done
done
"""


def launched(argv: Sequence[str], stdin: str = "/dev/null") -> list[str]:
    """Says first by which number it can be ended; `stdin`: a file in the container."""
    return ["/bin/sh", "-c", _LAUNCHER, _WATCHED, stdin, *argv]


def ending(number: int) -> list[str]:
    """Kills the command and its process group."""
    return ["/bin/sh", "-c", _ENDS, "sh", str(number)]


def shell() -> list[str]:
    """Starts a shell that leads a session at a terminal; it reports its process first."""
    return ["/bin/sh", "-c", _SHELL]


def holding(session: int) -> list[str]:
    """Ends all of a session when its own input is closed."""
    return ["/bin/sh", "-c", f"session={session}\n{_HOLDS}"]
