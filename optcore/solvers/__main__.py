"""Print the page of all algorithms: `python -m optcore.solvers > optcore/solvers/ALGORITHMS.md`."""

from optcore.solvers.algos import AllAlgorithms
from optcore.solvers.documentation import algorithms_page

if __name__ == "__main__":
    print(algorithms_page(AllAlgorithms.shipped()), end="")
