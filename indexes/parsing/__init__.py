"""What runs inside the guarded subprocess: the bytes of a file to text, one module per format."""
