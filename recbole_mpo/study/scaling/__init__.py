"""A scaling study: a grid of recorded runs over data, width and depth, laws fitted to them, and a report.

In comes a plan, a YAML file; out go run records, ``prediction.json``, ``fit.json`` and a report. It imports from the
other modules of ``study``, from ``quick_start`` and from ``common``.
"""
