"""Settings for all tests: they leave nothing behind, a loaded machine is no failure, and they share its cores."""

import signal

import scipy.linalg  # noqa: F401  loads its BLAS, beside numpy's
from hypothesis import settings
from threadpoolctl import threadpool_limits

settings.register_profile("optcore", database=None, deadline=None)
settings.load_profile("optcore")

# One thread for BLAS in this process, not in those that tests start: the matrices are small, and threads that wait for
# each other make L-BFGS-B ten times as slow while other workers of pytest-xdist use the cores.
threadpool_limits(1, user_api="blas")

# Jobs in the background of a shell script ignore Ctrl-C, and so do all programs that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
