"""Solvers of the user's own in a study: out of a file or a module, in another Python, or programs in any language.

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
again is refused once the file has changed. A copy of the file, and of what it imports from beside it, is kept in
STORE/sources, and serves where the file is gone. Each run gets the file anew, so that nothing in the globals of its
module depends on the runs before.

**In a Python of its own.** With the key `python`, the solver runs in another interpreter, with its numpy, its scipy and
its libraries, so that two versions of a library stand in one study:

    algorithms = [
        {name = "lbfgsb-1.17", algorithm = "scipy_lbfgsb"},
        {name = "lbfgsb-1.15", algorithm = "scipy_lbfgsb", python = "old/bin/python"},
        {name = "mine", path = "my_solver.py:solve", python = "old/bin/python"},
    ]

A function needs nothing there but Python 3.8 and numpy. The name of an algorithm, or a subclass of `om.Algorithm`,
needs Python 3.11, numpy, scipy and the library of the algorithm: optcore itself is taken from the source of the
harness and need not be installed, and neither need its dependency optree. PYTHONPATH and PYTHONHOME don't reach it.

The interpreter is started once for each worker, and each run is a copy of it, in which no other has left anything;
where there is no such fork (macOS), it is started for each run. What the solver asks is answered through pipes by the
process of the harness, so that the budget is exact, and counts, history and noise are those of any other solver. The
rows of its runs carry its versions in their `environment` (`solver_python`, `solver_numpy`, `solver_scipy`,
`solver_blas`), and so do the ids of the runs; the path of the interpreter doesn't matter. What is installed there is
looked at once in a process. `max_memory` limits this process and that of the harness, each.

**A program.** With the key `command`, any program that reads and writes lines is a solver; PROTOCOL.md beside this
module describes the protocol, with a solver in C and one in Python:

    algorithms = [
        {name = "mine-c", command = ["./descent", "--fast"], options = {steps = 100}},
        {name = "mine-py", command = "python3 descent.py", asks = ["fun"]},
    ]

>>> from importlib.resources import files
>>> (files("optcore_bench.external") / "PROTOCOL.md").read_text().partition(chr(10))[0]
'# Programs as solvers: the line protocol, version 1'
"""
