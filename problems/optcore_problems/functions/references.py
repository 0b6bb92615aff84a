"""Sources that several functions share."""

from __future__ import annotations

__all__ = ["CUTEST", "MGH"]

#: To be followed by the number of the function.
MGH = "More, Garbow & Hillstrom (1981), ACM Trans. Math. Softw. 7(1), 17-41, function "
CUTEST = "in CUTEst: Gould, Orban & Toint (2015), Comput. Optim. Appl. 60, 545-557"
