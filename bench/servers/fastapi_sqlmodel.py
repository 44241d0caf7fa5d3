"""FastAPI + SQLModel with an ORM session and response models: what most people write. REST only."""
# mypy: disable-error-code="import-not-found,untyped-decorator"
# FastAPI is no dependency of the project: it is installed for the bench only, beside it.

import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import Depends, FastAPI, Header, HTTPException
from sqlalchemy import BigInteger, DateTime, FetchedValue, LargeBinary, or_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import Column, Field, SQLModel, col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
engine = create_async_engine(
    "postgresql+asyncpg://",
    pool_size=int(os.environ["POOL_SIZE"]),
    max_overflow=0,
    json_serializer=lambda value: orjson.dumps(value).decode(),
    json_deserializer=orjson.loads,
)
sessions = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


def timestamp() -> Any:
    return Column(DateTime(timezone=True), server_default=FetchedValue())


def json_column() -> Any:
    return Column(JSONB)


class Token(SQLModel, table=True):
    __tablename__ = "tokens"
    id: str = Field(primary_key=True)
    token_hash: bytes = Field(sa_column=Column(LargeBinary))
    user_id: str
    expires_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))


class Membership(SQLModel, table=True):
    __tablename__ = "memberships"
    workspace_id: str = Field(primary_key=True)
    user_id: str = Field(primary_key=True)
    role: str


class CrewBase(SQLModel):
    id: str = Field(primary_key=True)
    workspace_id: str
    name: str
    slug: str
    description: str | None = None
    color: str | None = None
    icon: str | None = None
    avatar_style: str | None = None
    container_memory_mb: int
    container_cpus: float
    container_ttl_hours: int
    network_mode: str
    runtime_image: str | None = None
    cached_image: str | None = None
    max_agents: int
    issue_prefix: str
    issue_counter: int = 0
    budget_usd: float | None = None
    created_by: str | None = None


class Crew(CrewBase, table=True):
    __tablename__ = "crews"
    allowed_domains: list[str] = Field(sa_column=json_column())
    devcontainer: dict[str, Any] | None = Field(default=None, sa_column=json_column())
    mcp_config: dict[str, Any] | None = Field(default=None, sa_column=json_column())
    created_at: datetime = Field(sa_column=timestamp())
    updated_at: datetime = Field(sa_column=timestamp())
    deleted_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))


class CrewOut(CrewBase):
    allowed_domains: list[str]
    devcontainer: dict[str, Any] | None = None
    mcp_config: dict[str, Any] | None = None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    agents: int
    members: int


class CrewMember(SQLModel, table=True):
    __tablename__ = "crew_members"
    crew_id: str = Field(primary_key=True)
    user_id: str = Field(primary_key=True)


class Agent(SQLModel, table=True):
    __tablename__ = "agents"
    id: str = Field(primary_key=True)
    crew_id: str
    deleted_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))


class IssueIn(SQLModel):
    crew_id: str
    title: str
    description: str | None = None
    priority: str = "medium"


class IssueOut(SQLModel):
    id: str
    workspace_id: str
    crew_id: str
    number: int
    identifier: str
    title: str
    description: str | None
    status: str
    priority: str
    created_by: str | None
    created_at: datetime
    updated_at: datetime


class Issue(SQLModel, table=True):
    __tablename__ = "issues"
    id: str = Field(primary_key=True)
    workspace_id: str
    crew_id: str
    number: int
    identifier: str
    title: str
    description: str | None = None
    status: str = "BACKLOG"
    priority: str = "medium"
    created_by: str | None = None
    created_at: datetime = Field(default=None, sa_column=timestamp())
    updated_at: datetime = Field(default=None, sa_column=timestamp())


class AuditLog(SQLModel, table=True):
    __tablename__ = "audit_logs"
    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True))
    workspace_id: str
    user_id: str | None
    action: str
    entity: str
    entity_id: str
    data: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())


class Event(SQLModel, table=True):
    __tablename__ = "events"
    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True))
    workspace_id: str
    type: str
    payload: dict[str, Any] = Field(sa_column=json_column())


app = FastAPI()


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


DB = Annotated[AsyncSession, Depends(session)]


async def member(db: DB, workspace_id: str, authorization: Annotated[str, Header()]) -> Membership:
    token_hash = hashlib.sha256(authorization.removeprefix("Bearer ").encode()).digest()
    query = (
        select(Membership)
        .join(Token, col(Token.user_id) == Membership.user_id)
        .where(Token.token_hash == token_hash, Membership.workspace_id == workspace_id)
        .where(or_(col(Token.expires_at).is_(None), col(Token.expires_at) > func.now()))
    )
    found = (await db.exec(query)).first()
    if found is None:
        raise HTTPException(403)
    return found


Member = Annotated[Membership, Depends(member)]
agent_count = (
    select(func.count())
    .where(Agent.crew_id == Crew.id, col(Agent.deleted_at).is_(None))
    .correlate(Crew)
    .scalar_subquery()
)
member_count = select(func.count()).where(CrewMember.crew_id == Crew.id).correlate(Crew).scalar_subquery()


@app.get("/api/v1/crews")
async def list_crews(db: DB, caller: Member) -> list[CrewOut]:
    query = select(Crew, agent_count, member_count).where(
        Crew.workspace_id == caller.workspace_id, col(Crew.deleted_at).is_(None)
    )
    rows = await db.exec(query.order_by(col(Crew.created_at).desc(), col(Crew.id)).limit(50))
    return [
        CrewOut.model_validate(crew, update={"agents": agents, "members": members}) for crew, agents, members in rows
    ]


@app.get("/api/v1/crews/{crew_id}")
async def get_crew(db: DB, caller: Member, crew_id: str) -> CrewOut:
    query = select(Crew, agent_count, member_count).where(
        Crew.workspace_id == caller.workspace_id, Crew.id == crew_id, col(Crew.deleted_at).is_(None)
    )
    found = (await db.exec(query)).first()
    if found is None:
        raise HTTPException(404)
    crew, agents, members = found
    return CrewOut.model_validate(crew, update={"agents": agents, "members": members})


@app.post("/api/v1/issues", status_code=201, response_model=IssueOut)
async def create_issue(db: DB, caller: Member, data: IssueIn) -> Issue:
    numbered = (
        update(Crew)
        .where(col(Crew.id) == data.crew_id, col(Crew.workspace_id) == caller.workspace_id)
        .values(issue_counter=Crew.issue_counter + 1)
        .returning(col(Crew.issue_prefix), col(Crew.issue_counter))
        .execution_options(synchronize_session=False)
    )
    prefix, number = (await db.exec(numbered)).one()
    now = datetime.now(UTC)
    issue = Issue(
        id="c" + "".join(secrets.choice(DIGITS) for _ in range(24)),
        workspace_id=caller.workspace_id,
        crew_id=data.crew_id,
        number=number,
        identifier=f"{prefix}-{number}",
        title=data.title,
        description=data.description,
        priority=data.priority,
        created_by=caller.user_id,
        created_at=now,
        updated_at=now,
    )
    audit = AuditLog(
        workspace_id=caller.workspace_id,
        user_id=caller.user_id,
        action="issue.created",
        entity="issue",
        entity_id=issue.id,
    )
    audit.data = {"identifier": issue.identifier}
    payload = {"id": issue.id, "crew_id": issue.crew_id, "identifier": issue.identifier}
    db.add_all((issue, audit, Event(workspace_id=caller.workspace_id, type="issue.created", payload=payload)))
    await db.commit()
    return issue
