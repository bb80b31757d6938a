"""The HTTP service: everything that knows of requests, statuses and the web page. Nothing below imports it."""
