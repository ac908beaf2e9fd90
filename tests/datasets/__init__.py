"""Tests of celeryctl.datasets; a package, so that other folders may have files of the same names."""
