"""The JSON Schema of documents, for editors: the shape of each part. Reading checks more: how parts fit together."""

from typing import Any

from models.work.routines.document import Routine

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema in the draft 2020-12, generated from the model. A key that may be absent may be null."""
    made = Routine.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": DIALECT, **made, "title": "Crewship routine"}
