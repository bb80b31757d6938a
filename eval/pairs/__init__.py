"""Small classifiers of text pairs: training on the trunk of the packaged embedding model, and export as int8."""
