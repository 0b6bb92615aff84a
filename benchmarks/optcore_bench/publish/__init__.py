"""For print: figures, tables and the numbers behind them, as a folder that goes into a paper.

`publish_figures` writes the folder, `publish_study` a whole study as it is published; `publication_figures` and
`publication_tables` make what is in the folder, as objects that hold their numbers.
"""

from optcore_bench.publish.chosen import choose_solvers, subsets
from optcore_bench.publish.figures import PaperFigure, publication_figures
from optcore_bench.publish.folder import FORMATS, Published, check_formats, publish_figures
from optcore_bench.publish.layout import for_print
from optcore_bench.publish.study import publish_study
from optcore_bench.publish.tables import PaperTable, publication_tables
from optcore_bench.publish.worth import worth_table

__all__ = [
    "FORMATS",
    "PaperFigure",
    "PaperTable",
    "Published",
    "check_formats",
    "choose_solvers",
    "for_print",
    "publication_figures",
    "publication_tables",
    "publish_figures",
    "publish_study",
    "subsets",
    "worth_table",
]
