"""The engine that ships with Gatehouse: a tiny Llama 4 that answers about Gatehouse and says so when it cannot."""
