"""How detectors of texts are fitted and measured: shared by those of injected instructions and of harmful content."""
