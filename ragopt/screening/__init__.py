"""How a text is read and scored for what must not get in or out: shared by the detectors, and no stage."""
