from tests.runtime.sandbox.machine import data_dir, programs, sandbox, unconfined, why_not, workdir  # noqa: F401
