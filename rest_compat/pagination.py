"""Pages by number: what stands beside the rows (contract: audit.Pagination)."""

from pydantic import BaseModel


class PaginationJSON(BaseModel):
    """`total_pages` is 0 when there is nothing."""

    page: int
    limit: int
    total: int
    total_pages: int


def pagination(page: int, limit: int, total: int) -> PaginationJSON:
    return PaginationJSON(page=page, limit=limit, total=total, total_pages=-(-total // limit))


def counted(body: bytes) -> tuple[int, bytes]:
    """The two parts of the answer of a `counted` list: how many rows there are, and the JSON of those of the page."""
    head, rows = body.removeprefix(b'{"total":').split(b',"rows":', 1)
    return int(head), rows[:-1]
