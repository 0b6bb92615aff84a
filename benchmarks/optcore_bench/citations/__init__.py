"""What to cite for a study, and how to describe it: BibTeX and a paragraph on methods, out of its store."""

from optcore_bench.citations.make import Citation, cite
from optcore_bench.citations.references import read_references

__all__ = ["Citation", "cite", "read_references"]
