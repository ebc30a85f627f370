"""The model host: everything that runs a model, behind HTTP on a unix socket. torch lives here only."""
