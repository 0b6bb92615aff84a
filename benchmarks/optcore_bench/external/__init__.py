"""Solvers of the user's own in a study: out of a file or a module.

A solver is a plain function that gets by name what its signature asks for, or a subclass of `om.Algorithm` made with
`@om.register_algorithm`. In `my_solver.py`:

    import numpy as np

    def solve(fun, jac, x0, options):
        x, step = x0, options.get("step", 1e-3)
        for _ in range(1000):
            x = x - step * jac(x)
            fun(x)
        return x

In a study beside it:

    algorithms = [
        "scipy_lbfgsb",
        {name = "mine", path = "my_solver.py:solve", options = {step = 1e-4}},
        {name = "theirs", algorithm = "their_package.solvers:solve"},
    ]

Paths start at the folder of the study's file; in Python, `Study(algorithms=[{"name": "mine", "path": ...}])`, at the
current folder. An installed package announces solvers in the entry-point group `optcore.algorithms`, functions as well
as classes; they go by the name of the entry.

The id of a run hashes the source of the file and of what it imports from beside it, so that runs of a file that was
edited are run again, and the run says so. The study.toml of a store keeps the file's path and its SHA-256: reading it
again is refused once the file has changed. Each run gets the file anew, so that nothing in the globals of its module
depends on the runs before.
"""
