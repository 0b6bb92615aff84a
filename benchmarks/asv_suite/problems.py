"""What problems cost: large sparse ones as ratios to one pass of numpy over the same memory, suites in milliseconds.

One of them by hand, in `benchmarks/`:
`python -c "from asv_suite.problems import Suites; print(Suites().track_building_all_suites())"`.
"""

import subprocess
import sys
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from asv_suite.core import ratio
from optcore_problems import get_suite

SPARSE = {p.tags["function"]: p for p in get_suite("scalable", n=100_000).filter(tags={"jacobian": "sparse"})}


class LargeProblems:
    """Residuals and sparse jacobians at n = 10^5, over one pass that reads and writes as many bytes.

    A pass is a multiplication of a vector by a number; for bratu_2d the exponentials, which numpy has to take, come on
    top of it.
    """

    params = tuple(SPARSE)
    param_names = ("family",)
    timeout = 300

    def setup(self, family):
        """Pin the threads, and make the allocator keep what is freed: page faults would decide everything."""
        self.limits = threadpool_limits(1)
        np.ones(4_000_000)
        self.problem = SPARSE[family]
        self.x = self.problem.start + 0.1
        self.has_exponentials = family == "bratu_2d"

    def teardown(self, family):
        """Give the threads back."""
        del family
        self.limits.restore_original_limits()

    def _over_one_pass(self, call, arrays):
        vector = np.full(sum(array.nbytes for array in (self.x, *arrays)) // 16, 0.1)

        def one_pass():
            if self.has_exponentials:
                np.exp(self.x)
            return 2.0 * vector

        return ratio(partial(call, self.x), one_pass)

    def track_residuals(self, family):
        """Time of the residuals over that of a pass."""
        del family
        return self._over_one_pass(self.problem.residuals, [self.problem.residuals(self.x)])

    def track_jacobian(self, family):
        """Time of the sparse jacobian over that of a pass over x, its entries and their places."""
        del family
        jacobian = self.problem.jacobian(self.x)
        return self._over_one_pass(self.problem.jacobian, [jacobian.data, jacobian.indices, jacobian.indptr])

    track_residuals.unit = "ratio"
    track_jacobian.unit = "ratio"


class Suites:
    """A fresh interpreter that has imported numpy and scipy.sparse: the fastest of some."""

    timeout = 300

    def _milliseconds(self, before, timed):
        code = (
            f"import time, numpy, scipy.sparse; {before}\nstart = time.perf_counter()\n{timed}\n"
            "print(time.perf_counter() - start)"
        )
        run = partial(subprocess.run, [sys.executable, "-c", code], check=True, capture_output=True, text=True)
        return 1e3 * min(float(run().stdout) for _ in range(7))

    def track_import(self):
        """`import optcore_problems`."""
        return self._milliseconds("", "import optcore_problems")

    def track_building_all_suites(self):
        """Every suite that there is, made for the first time."""
        return self._milliseconds(
            "from optcore_problems import get_suite, list_suites", "for name in list_suites(): get_suite(name)"
        )

    track_import.unit = "ms"
    track_building_all_suites.unit = "ms"
