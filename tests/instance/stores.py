"""Data keys in memory, and how often they were asked for."""

from resolvers.instance.data_keys import StoredKey


class KeysInMemory:
    def __init__(self) -> None:
        self.keys: dict[str, StoredKey] = {}
        self.sealing: dict[str | None, str] = {}
        self.asked = 0

    async def current(self, workspace_id: str | None) -> StoredKey | None:
        self.asked += 1
        id = self.sealing.get(workspace_id)
        return None if id is None else self.keys[id]

    async def find(self, id: str) -> StoredKey | None:
        self.asked += 1
        return self.keys.get(id)

    async def add(self, made: StoredKey) -> StoredKey:
        id = self.sealing.setdefault(made.workspace_id, made.id)
        return self.keys.setdefault(id, made)
