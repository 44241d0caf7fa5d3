from tests.runtime.egress.outside import outside  # noqa: F401
from tests.runtime.sandbox.machine import data_dir, host_allows, programs, python, sandbox, why_not, workdir  # noqa: F401
