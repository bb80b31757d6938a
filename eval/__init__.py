"""Measures the service: quality in process on data folders, speed over HTTP."""
