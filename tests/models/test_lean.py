"""Placeholders of models that are not built yet, and imports without SQLAlchemy's mapper."""

import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, PydanticUserError, ValidationError
from pydantic._internal._mock_val_ser import MockCoreSchema, MockValSer

from models.lean import NONE, _Built
from models.unmapped import MAPPER, unmapped


class Deferred(BaseModel):
    model_config = ConfigDict(defer_build=True)
    number: int
    name: str = "a"


def test_a_model_is_built_when_it_is_used() -> None:
    made: Any = Deferred
    assert isinstance(made.__pydantic_core_schema__, MockCoreSchema)
    assert isinstance(made.__pydantic_validator__, MockValSer)
    assert isinstance(made.__pydantic_validator__._attempt_rebuild, _Built)
    assert Deferred.model_fields["name"]._qualifiers is NONE
    assert Deferred.model_validate({"number": "3"}).model_dump() == {"number": 3, "name": "a"}
    assert not isinstance(made.__pydantic_validator__, MockValSer)
    with pytest.raises(ValidationError):
        Deferred.model_validate({"number": "x"})


def test_a_model_of_something_unknown_says_so() -> None:
    class Unknown(BaseModel):
        model_config = ConfigDict(defer_build=True)
        other: "Nowhere"  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(PydanticUserError, match="`Unknown` is not fully defined"):
        Unknown.model_validate({"other": 1})


def test_a_subclass_has_its_own_fields() -> None:
    class More(Deferred):
        more: bool

    assert More.model_validate({"number": 1, "more": True}).model_dump() == {"number": 1, "name": "a", "more": True}
    assert "more" not in Deferred.model_fields


@pytest.mark.slow
def test_the_mapper_can_be_imported_as_ever() -> None:
    """By a migration, after the models."""
    asked = (
        "import sys, models; assert 'sqlalchemy.orm' not in sys.modules;"
        "from sqlalchemy.orm import DeclarativeBase, Session, mapped_column; import sqlalchemy.ext.asyncio as sessions;"
        "print(Session.__module__, sessions.AsyncSession.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["sqlalchemy.orm.session", "sqlalchemy.ext.asyncio.session"]


def test_what_stands_in_goes_with_the_block() -> None:
    before = {name: sys.modules.get(name) for name in MAPPER}
    with unmapped("no.such.module"):
        pass
    assert {name: sys.modules.get(name) for name in MAPPER} == before
    assert "no.such.module" not in sys.modules
