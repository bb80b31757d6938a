"""Whether claims are supported: the sets, the job that measures it, planted faults, and the fit of what judges."""
