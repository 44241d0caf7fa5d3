from tests.runtime.sandbox.machine import data_dir, decoy, host_allows, programs, python, sandbox, unconfined, why_not, workdir  # noqa: F401
