"""Personal data: recognised by form and checksum, and replaced where a policy says so."""
