from tests.runtime.sandbox.machine import data_dir, host_allows, programs, sandbox, unconfined, why_not, workdir  # noqa: F401
