"""Settings for all tests: they leave nothing behind, a loaded machine is no failure, and they share its cores."""

import scipy.linalg  # noqa: F401  loads its BLAS, beside numpy's
from hypothesis import settings
from threadpoolctl import threadpool_limits

settings.register_profile("optcore", database=None, deadline=None)
settings.load_profile("optcore")

# One thread for BLAS in this process, not in those that tests start: the matrices are small, and threads that wait for
# each other make L-BFGS-B ten times as slow while other workers of pytest-xdist use the cores.
threadpool_limits(1, user_api="blas")
