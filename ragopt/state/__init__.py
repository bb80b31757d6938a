"""What Redis holds for the service, one file each, and the private Redis itself."""
