from tests.runtime.sandbox.machine import (  # noqa: F401
    data_dir,
    decoy,
    host_allows,
    programs,
    python,
    sandbox,
    unconfined,
    why_not,
    workdir,
)
